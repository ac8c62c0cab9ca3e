// Qwen2.5-VL (3B, 7B, 32B, 72B): an RMSNorm tower with a gated MLP, most layers of which see windows of a picture only.
#include <algorithm>

#include "families/parts.h"
#include "families/processors.h"
#include "mquant/error.h"
#include "mquant/family.h"
#include "support/checked.h"

namespace mquant {
namespace {

void add_tower(ModelSpec& model, const Config& c) {
  const std::string v = "vision_config.";
  const std::int64_t patch = c.positive_or(v + "patch_size", 14),
                     merge = c.positive_or(v + "spatial_merge_size", 2),
                     window = c.positive_or(v + "window_size", 112) / merge / patch * merge;  // whole cells
  if (window == 0)
    fail(ErrorKind::input, c.origin(), ": 'vision_config.window_size' is ", c.integer(v + "window_size"),
         ": expected at least ", checked_product({merge, patch}), ", one cell of the merger");
  model.vision_width = c.positive(v + "hidden_size");
  model.blocks.push_back(patch_embed_block(
      "visual.patch_embed.proj",
      {model.vision_width, c.positive_or(v + (c.has(v + "in_chans") ? "in_chans" : "in_channels"), 3),
       c.positive_or(v + "temporal_patch_size", 2), patch, patch},
      false));
  model.blocks.back().steps.push_back(step(Op::to_windows, "x", {"x"}, "", window));
  LayerShape layer = vision_shape(c, {.width = model.vision_width,
                                      .mlp_width = c.positive(v + "intermediate_size"),
                                      .heads = c.positive(v + "num_heads"),
                                      .activation = activation(c, v + "hidden_act", "silu")});
  layer.norm = NormKind::rms;
  layer.attention.rope = {.pairs = RopePairs::halves,
                          .axes = RopeAxes::grid,
                          .base = tower_rope_base(c, v, 10000),
                          .dims = layer.attention.head_dim};
  layer.attention.window = window;
  const LayerNames names{.norm1 = "norm1",
                         .q = "attn.qkv",
                         .o = "attn.proj",
                         .norm2 = "norm2",
                         .gate = "mlp.gate_proj",
                         .up = "mlp.up_proj",
                         .down = "mlp.down_proj",
                         .fused = Fused::chunks};
  const std::vector<std::int64_t> whole = c.integers(v + "fullatt_block_indexes");
  for (std::int64_t i = 0; i < layer_count(c, v + "depth"); ++i) {
    layer.attention.sees = std::ranges::find(whole, i) == whole.end() ? Sees::window : Sees::picture;
    model.blocks.push_back(transformer_layer(cat("vision.", i), Tower::vision, Space::vision,
                                             cat("visual.blocks.", i, "."), names, layer));
  }
}

void add_blocks(ModelSpec& model, const Config& c) {
  const std::string t = text(c);
  require_no_sliding_window(c, t);
  model.decoder_width = c.positive(t + "hidden_size");
  model.vocabulary = c.positive(t + "vocab_size");
  add_tower(model, c);
  const std::int64_t merge = c.positive_or("vision_config.spatial_merge_size", 2);
  BlockSpec merger = projector_block("projector", "visual",
                                     {"visual.merger.ln_q", "visual.merger.mlp.0", "visual.merger.mlp.2"},
                                     {.width = model.vision_width,
                                      .inner = checked_product({model.vision_width, merge, merge}),
                                      .out = model.decoder_width,
                                      .merge = Merge::rows,
                                      .side = merge,
                                      .norm = NormKind::rms});
  merger.steps.push_back(step(Op::from_windows, "visual", {"visual"}));
  model.blocks.push_back(merger);
  LayerShape decoder = llama_shape(c, t, {.kv_heads = 8, .eps = 1e-5, .rope_base = 1e6, .qkv_bias = true});
  decoder.attention.rope.axes = RopeAxes::sections;
  decoder.attention.rope.sections = mrope_sections(c, t, decoder.attention.head_dim);
  add_decoder(model, "model.", {.tied = ties_embeddings_anywhere(c)}, decoder,
              layer_count(c, t + "num_hidden_layers"));
  model.renames = {{"model.", "model.language_model."}, {"visual.", "model.visual."}};
  model.tied_key = "tie_word_embeddings";
}

}  // namespace

extern const Family qwen2_5_vl = {
    .name = "qwen2_5_vl",
    .summary = "Qwen2.5-VL 3B, 7B, 32B, 72B Instruct",
    .model_types = {"qwen2_5_vl"},
    .tower =
        "RMSNorm, gated MLP, 2-D rotary positions; pictures at about their own size, of which most layers "
        "see windows; 2 x 2 patches in a token",
    .prompt = "ChatML with a default system message; a picture stands where the sample has it",
    .visual_tokens = "one for 2 x 2 patches: <|image_pad|>",
    .recognises = [](const Config& c) { return c.model_type() == "qwen2_5_vl"; },
    .add_blocks = add_blocks,
    .make_processor = make_qwen2_5_vl_processor};

}  // namespace mquant
