// SmolVLM and SmolVLM2 (256M, 500M, 2.2B): SigLIP, pixel shuffle, one linear, Llama.  Idefics3's code under two names.
#include "families/parts.h"
#include "families/processors.h"
#include "mquant/error.h"
#include "mquant/family.h"

namespace mquant {
namespace {

void add_tower(ModelSpec& model, const Config& c) {
  const std::string v = "vision_config.", prefix = "model.vision_model.";
  const std::int64_t patch = c.positive_or(v + "patch_size", 32),
                     side = c.positive_or(v + "image_size", 224) / patch;
  model.vision_width = c.positive_or(v + "hidden_size", 1152);
  model.blocks.push_back(stem_block(
      {prefix + "embeddings.patch_embedding", "", prefix + "embeddings.position_embedding.weight", ""},
      {.width = model.vision_width,
       .patch = patch,
       .channels = c.positive_or(v + "num_channels", 3),
       .places = side * side,
       .lookup = Lookup::buckets}));
  const LayerShape layer =
      vision_shape(c, {.width = model.vision_width,
                       .mlp_width = c.positive_or(v + "intermediate_size", 3072),
                       .heads = c.positive_or(v + "num_attention_heads", 16),
                       .eps = c.number_or(v + "layer_norm_eps", 1e-6),
                       .activation = activation(c, v + "hidden_act", "gelu_pytorch_tanh")});
  for (std::int64_t i = 0; i < c.positive_or(v + "num_hidden_layers", 12); ++i)
    model.blocks.push_back(transformer_layer(cat("vision.", i), Tower::vision, Space::vision,
                                             cat(prefix, "encoder.layers.", i, "."), clip_names(), layer));
}

ModelSpec describe(const Config& c) {
  const std::string t = "text_config.";
  if (const std::string type = c.string_or(t + "model_type", "llama"); type != "llama")
    fail(ErrorKind::unsupported, c.origin(), ": 'text_config.model_type' is '", type, "'; known is llama");
  ModelSpec model;
  model.family = "smolvlm";
  model.decoder_width = c.positive(t + "hidden_size");
  model.vocabulary = c.positive(t + "vocab_size");
  add_tower(model, c);
  model.blocks.push_back(
      projector_block("projector", "visual",
                      {"model.vision_model.post_layernorm", "model.connector.modality_projection.proj", ""},
                      {.width = model.vision_width,
                       .out = model.decoder_width,
                       .merge = Merge::grid,
                       .side = c.positive_or("scale_factor", 2),
                       .eps = c.number_or("vision_config.layer_norm_eps", 1e-6),
                       .bias = false}));
  add_decoder(model, "model.text_model.", {}, llama_shape(c, t, {}), c.positive(t + "num_hidden_layers"));
  model.tied_key = "tie_word_embeddings";
  return model;
}

}  // namespace

extern const Family smolvlm = {
    "smolvlm",
    "SmolVLM and SmolVLM2 256M, 500M, 2.2B Instruct",
    {"idefics3", "smolvlm"},
    [](const Config& c) { return c.model_type() == "idefics3" || c.model_type() == "smolvlm"; },
    describe,
    make_smolvlm_processor};

}  // namespace mquant
