// Qwen-VL and Qwen-VL-Chat: OpenCLIP's ViT-bigG with resized positions, a resampler of 256 queries, Qwen-7B.
#include "families/parts.h"
#include "families/processors.h"
#include "mquant/error.h"
#include "mquant/family.h"

namespace mquant {
namespace {

constexpr std::int64_t kQueries = 256;  // of the resampler; also places of both position tables, 16 x 16
const char* const kTower = "transformer.visual.";

void add_tower(ModelSpec& model, const Config& c) {
  const std::string v = "visual.", prefix = kTower;
  model.vision_width = c.positive(v + "width");
  model.blocks.push_back(
      stem_block({prefix + "conv1", "", prefix + "positional_embedding", prefix + "ln_pre"},
                 {.width = model.vision_width,
                  .patch = c.positive(v + "patch_size"),
                  .places = kQueries,
                  .conv_bias = false,
                  .lookup = Lookup::bicubic,
                  .eps = 1e-6}));
  const LayerShape layer = vision_shape(c, {.width = model.vision_width,
                                            .mlp_width = times_ratio(c, model.vision_width, v + "mlp_ratio"),
                                            .heads = c.positive(v + "heads")});
  const LayerNames names{.norm1 = "ln_1",
                         .q = "attn.in_proj",
                         .o = "attn.out_proj",
                         .norm2 = "ln_2",
                         .up = "mlp.c_fc",
                         .down = "mlp.c_proj",
                         .fused = Fused::per_head};
  for (std::int64_t i = 0; i < layer_count(c, v + "layers"); ++i)
    model.blocks.push_back(transformer_layer(cat("vision.", i), Tower::vision, Space::vision,
                                             cat(prefix, "transformer.resblocks.", i, "."), names, layer));
}

LayerShape decoder_shape(const Config& c) {
  const std::int64_t dim = c.positive("kv_channels"), trained = c.positive("seq_length");
  LayerShape shape = llama_shape(c, "", {.mlp_width = 1, .head_dim = dim, .qkv_bias = true});
  shape.mlp_width = exact_ratio(c, "intermediate_size", 2);
  shape.eps = c.positive_number_or("layer_norm_epsilon", 1e-6);
  shape.activation = Activation::silu;
  shape.o_bias = shape.mlp_bias = !c.boolean_or("no_bias", true);
  shape.attention.rope.base = c.positive_number_or("rotary_emb_base", 10000);
  if (c.number_or("rotary_pct", 1.0) != 1.0)
    fail(ErrorKind::unsupported, c.origin(), ": 'rotary_pct' is not 1");
  if (c.boolean_or("use_dynamic_ntk", true)) {
    shape.attention.rope.stretch = Stretch::qwen;
    shape.attention.rope.trained_length = trained;
  }
  if (c.boolean_or("use_logn_attn", true)) shape.attention.logn_length = trained;
  return shape;
}

void add_blocks(ModelSpec& model, const Config& c) {
  model.decoder_width = c.positive("hidden_size");
  model.vocabulary = c.positive("vocab_size");
  add_tower(model, c);
  if (c.positive("visual.output_dim") != model.decoder_width)
    fail(ErrorKind::input, c.origin(), ": 'visual.output_dim' is ", c.positive("visual.output_dim"),
         ": expected hidden_size, which is ", model.decoder_width);
  const std::string tower = kTower, pool = tower + "attn_pool.";
  model.blocks.push_back(resampler_block({pool + "query", pool + "kv_proj", pool + "ln_q", pool + "ln_kv",
                                          pool + "attn.", tower + "ln_post", tower + "proj"},
                                         {.width = model.vision_width,
                                          .out = model.decoder_width,
                                          .heads = exact_ratio(c, "visual.output_dim", "kv_channels"),
                                          .queries = kQueries,
                                          .positions = pool + "pos_embed"}));
  const LayerNames names{.norm1 = "ln_1",
                         .q = "attn.c_attn",
                         .o = "attn.c_proj",
                         .norm2 = "ln_2",
                         .gate = "mlp.w2",  // the activation is on w2
                         .up = "mlp.w1",
                         .down = "mlp.c_proj",
                         .fused = Fused::chunks};
  add_decoder(
      model, "transformer.",
      {.layers = "h.", .embed = "wte.weight", .norm = "ln_f", .tied = ties_embeddings(c), .layer = names},
      decoder_shape(c), layer_count(c, "num_hidden_layers"));
  model.tied_key = "tie_word_embeddings";
}

}  // namespace

extern const Family qwen_vl = {
    .name = "qwen_vl",
    .summary = "Qwen-VL, Qwen-VL-Chat",
    .model_types = {"qwen"},
    .tower =
        "ViT-bigG: LayerNorm, learned positions; one stretched square a picture; a resampler of 256 queries",
    .prompt =
        "ChatML with a default system message; a picture stands where the sample has it, as \"Picture 1: \" "
        "and its path",
    .visual_tokens = "256 a picture: the bytes of its path, then <imgpad>",
    .exemptions = {{"bake-means", Tower::vision, "kv_proj reads the stream without a norm, means and all"}},
    .recognises = [](const Config& c) { return c.model_type() == "qwen" && c.has("visual"); },
    .add_blocks = add_blocks,
    .make_processor = make_qwen_vl_processor};

}  // namespace mquant
