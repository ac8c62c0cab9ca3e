// MiniCPM-V 2.6: SigLIP on slices of a picture, each of its own size; a resampler with sine-cosine positions; Qwen2.
#include "families/parts.h"
#include "families/processors.h"
#include "mquant/error.h"
#include "mquant/family.h"

namespace mquant {
namespace {

void add_tower(ModelSpec& model, const Config& c) {
  const std::string v = "vision_config.", prefix = "vpm.";
  const std::int64_t patch = c.positive(v + "patch_size"), side = c.positive(v + "image_size") / patch;
  model.vision_width = c.positive(v + "hidden_size");
  model.blocks.push_back(stem_block(
      {prefix + "embeddings.patch_embedding", "", prefix + "embeddings.position_embedding.weight", ""},
      {.width = model.vision_width,
       .patch = patch,
       .channels = c.positive_or(v + "num_channels", 3),
       .places = side * side,
       .lookup = Lookup::buckets}));
  const LayerShape layer =
      vision_shape(c, {.width = model.vision_width,
                       .mlp_width = c.positive(v + "intermediate_size"),
                       .heads = c.positive(v + "num_attention_heads"),
                       .eps = c.number_or(v + "layer_norm_eps", 1e-6),
                       .activation = activation(c, v + "hidden_act", "gelu_pytorch_tanh")});
  const std::int64_t layers =
      c.positive(v + "num_hidden_layers") - (c.boolean_or("drop_vision_last_layer", true) ? 1 : 0);
  for (std::int64_t i = 0; i < layers; ++i)
    model.blocks.push_back(transformer_layer(cat("vision.", i), Tower::vision, Space::vision,
                                             cat(prefix, "encoder.layers.", i, "."), clip_names(), layer));
}

ModelSpec describe(const Config& c) {
  if (c.has("version") && c.number("version") != 2.6)
    fail(ErrorKind::unsupported, c.origin(), ": 'version' is ", c.number("version"),
         "; of MiniCPM-V only 2.6 is known");
  require_no_sliding_window(c, "");
  ModelSpec model;
  model.family = "minicpm_v";
  model.decoder_width = c.positive("hidden_size");
  model.vocabulary = c.positive("vocab_size");
  add_tower(model, c);
  // A slice has about (image_size / patch)^2 patches: so many, at most, lie on one side of it.
  const std::int64_t side = c.positive_or("image_size", 448) / c.positive("vision_config.patch_size");
  const std::string r = "resampler.";
  model.blocks.push_back(resampler_block(
      {r + "query", r + "kv_proj", r + "ln_q", r + "ln_kv", r + "attn.", r + "ln_post", r + "proj"},
      {.width = model.vision_width,
       .out = model.decoder_width,
       .heads = c.positive("num_attention_heads"),
       .queries = c.positive_or("query_num", 64),
       .norm = "vpm.post_layernorm",
       .sincos_side = 2 * side * side,
       .norm_eps = c.number_or("vision_config.layer_norm_eps", 1e-6)}));
  add_decoder(model, "llm.model.", {.head = "llm.lm_head"},
              llama_shape(c, "", {.kv_heads = 32, .qkv_bias = true}), c.positive("num_hidden_layers"));
  model.tied_key = "tie_word_embeddings";
  return model;
}

}  // namespace

extern const Family minicpm_v = {"minicpm_v",  "MiniCPM-V 2.6",
                                 {"minicpmv"}, [](const Config& c) { return c.model_type() == "minicpmv"; },
                                 describe,     make_minicpm_v_processor};

}  // namespace mquant
