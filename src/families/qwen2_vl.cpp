// Qwen2-VL (2B, 7B, 72B): pre-LayerNorm vision tower with 2-D rotary positions, a merger of 2x2 patches, Qwen2 decoder
// with m-rope.  Takes the flat config.json of the release and the nested one of later transformers.
#include "families/parts.h"
#include "mquant/error.h"
#include "mquant/family.h"
#include "support/checked.h"

namespace mquant {
namespace {

BlockSpec vision_layer(const Config& c, std::int64_t i) {
  const std::int64_t width = c.positive("vision_config.embed_dim"),
                     heads = c.positive("vision_config.num_heads");
  const std::int64_t dim = exact_ratio(c, "vision_config.embed_dim", "vision_config.num_heads");
  LayerShape shape{.width = width,
                   .mlp_width = c.has("vision_config.mlp_ratio")
                                    ? times_ratio(c, width, "vision_config.mlp_ratio")
                                    : checked_product({4, width}),
                   .attention = {.heads = heads,
                                 .kv_heads = heads,
                                 .head_dim = dim,
                                 .scale = inverse_sqrt(dim),
                                 .rope = {.pairs = RopePairs::halves,
                                          .axes = RopeAxes::grid,
                                          .base = tower_rope_base(c, "vision_config.", 10000),
                                          .dims = dim},
                                 .sees = Sees::picture},
                   .norm = NormKind::layer,
                   .activation = activation(c, "vision_config.hidden_act", "quick_gelu"),
                   .qkv_bias = true,
                   .o_bias = true,
                   .mlp_bias = true};
  const LayerNames names{.norm1 = "norm1",
                         .q = "attn.qkv",
                         .o = "attn.proj",
                         .norm2 = "norm2",
                         .up = "mlp.fc1",
                         .down = "mlp.fc2",
                         .fused = Fused::chunks};
  return transformer_layer(cat("vision.", i), Tower::vision, Space::vision, cat("visual.blocks.", i, "."),
                           names, shape);
}

void add_blocks(ModelSpec& model, const Config& c) {
  const std::string t = text(c);
  require_no_sliding_window(c, t);
  model.vision_width = c.positive("vision_config.embed_dim");
  model.decoder_width = c.positive(t + "hidden_size");
  model.vocabulary = c.positive(t + "vocab_size");
  const std::int64_t patch = c.positive_or("vision_config.patch_size", 14);
  model.blocks.push_back(
      patch_embed_block("visual.patch_embed.proj",
                        {model.vision_width, c.positive_or("vision_config.in_chans", 3),
                         c.positive_or("vision_config.temporal_patch_size", 2), patch, patch},
                        false));
  for (std::int64_t i = 0; i < layer_count(c, "vision_config.depth"); ++i)
    model.blocks.push_back(vision_layer(c, i));
  const std::int64_t merge = c.positive_or("vision_config.spatial_merge_size", 2);
  model.blocks.push_back(projector_block("projector", "visual",
                                         {"visual.merger.ln_q", "visual.merger.mlp.0", "visual.merger.mlp.2"},
                                         {.width = model.vision_width,
                                          .inner = checked_product({model.vision_width, merge, merge}),
                                          .out = model.decoder_width,
                                          .merge = Merge::rows,
                                          .side = merge}));
  LayerShape decoder = llama_shape(c, t, {.kv_heads = 8, .eps = 1e-5, .rope_base = 1e6, .qkv_bias = true});
  decoder.attention.rope.axes = RopeAxes::sections;
  decoder.attention.rope.sections = mrope_sections(c, t, decoder.attention.head_dim);
  add_decoder(model, "model.", {.tied = ties_embeddings_anywhere(c)}, decoder,
              layer_count(c, t + "num_hidden_layers"));
  model.renames = {{"model.", "model.language_model."}, {"visual.", "model.visual."}};
  model.tied_key = "tie_word_embeddings";
}

}  // namespace

extern const Family qwen2_vl = {
    .name = "qwen2_vl",
    .summary = "Qwen2-VL 2B, 7B, 72B Instruct",
    .model_types = {"qwen2_vl"},
    .tower = "LayerNorm, 2-D rotary positions; pictures at about their own size; 2 x 2 patches in a token",
    .prompt = "ChatML with a default system message; a picture stands where the sample has it",
    .visual_tokens = "one for 2 x 2 patches: <|image_pad|>",
    .recognises = [](const Config& c) { return c.model_type() == "qwen2_vl"; },
    .add_blocks = add_blocks,
    .make_processor = make_qwen_processor};

}  // namespace mquant
