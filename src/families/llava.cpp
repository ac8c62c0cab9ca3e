// LLaVA 1.5 (7B, 13B): CLIP without its last layer, two linears, Llama.
#include "families/parts.h"
#include "families/processors.h"
#include "mquant/error.h"
#include "mquant/family.h"
#include "support/checked.h"

namespace mquant {
namespace {

void add_tower(ModelSpec& model, const Config& c) {
  const std::string v = "vision_config.", prefix = "vision_tower.vision_model.";
  const std::int64_t patch = c.positive(v + "patch_size"), side = c.positive(v + "image_size") / patch;
  model.vision_width = c.positive(v + "hidden_size");
  const double eps = c.positive_number_or(v + "layer_norm_eps", 1e-5);
  model.blocks.push_back(stem_block(
      {prefix + "embeddings.patch_embedding", prefix + "embeddings.class_embedding",
       prefix + "embeddings.position_embedding.weight", prefix + "pre_layrnorm"},  // so the release spells it
      {.width = model.vision_width,
       .patch = patch,
       .places = checked_product({side, side}),
       .conv_bias = false,
       .eps = eps}));
  model.blocks.back().params[0].source.stored_shape = {model.vision_width};
  const LayerShape layer = vision_shape(c, {.width = model.vision_width,
                                            .mlp_width = c.positive(v + "intermediate_size"),
                                            .heads = c.positive(v + "num_attention_heads"),
                                            .eps = eps,
                                            .activation = activation(c, v + "hidden_act", "quick_gelu")});
  const std::int64_t layers =
      feature_layers(c, layer_count(c, v + "num_hidden_layers"), "vision_feature_layer", -2);
  for (std::int64_t i = 0; i < layers; ++i)
    model.blocks.push_back(transformer_layer(cat("vision.", i), Tower::vision, Space::vision,
                                             cat(prefix, "encoder.layers.", i, "."), clip_names(), layer));
}

void add_blocks(ModelSpec& model, const Config& c) {
  const std::string t = "text_config.";
  if (const std::string type = c.string_or(t + "model_type", "llama"); type != "llama")
    fail(ErrorKind::unsupported, c.origin(), ": 'text_config.model_type' is '", type, "'; known is llama");
  if (const std::string type = c.string_or("vision_config.model_type", "clip_vision_model");
      type != "clip_vision_model")
    fail(ErrorKind::unsupported, c.origin(), ": 'vision_config.model_type' is '", type,
         "'; known is clip_vision_model");
  model.decoder_width = c.positive_or(t + "hidden_size", 4096);
  model.vocabulary = c.positive_or(t + "vocab_size", 32000);
  add_tower(model, c);
  const std::string projector = "multi_modal_projector.";
  model.blocks.push_back(
      projector_block("projector", "visual", {"", projector + "linear_1", projector + "linear_2"},
                      {.width = model.vision_width,
                       .inner = model.decoder_width,
                       .out = model.decoder_width,
                       .drop = c.string_or("vision_feature_select_strategy", "default") == "default" ? 1 : 0,
                       .bias = c.boolean_or("multimodal_projector_bias", true),
                       .activation = activation(c, "projector_hidden_act", "gelu")}));
  const LayerShape decoder = llama_shape(c, t, {.width = 4096, .mlp_width = 11008, .heads = 32});
  add_decoder(model, "language_model.model.",
              {.head = "language_model.lm_head", .tied = ties_embeddings_anywhere(c)}, decoder,
              layer_count(c, t + "num_hidden_layers", 32));
  model.renames = {{"language_model.model.", "model.language_model."},
                   {"language_model.lm_head", "lm_head"},
                   {"vision_tower.", "model.vision_tower."},
                   {"vision_tower.vision_model.", "vision_tower."},
                   {"vision_tower.vision_model.", "model.vision_tower."},
                   {projector, "model." + projector}};
  model.tied_key = "tie_word_embeddings";
}

}  // namespace

extern const Family llava = {
    .name = "llava",
    .summary = "LLaVA 1.5 7B, 13B as converted for transformers (-hf)",
    .model_types = {"llava"},
    .tower =
        "CLIP without its last layer: LayerNorm, class token, learned positions; the middle square of a "
        "picture; a patch in a token",
    .prompt =
        "USER: and ASSISTANT:, no default system message; pictures stand before the text of their message",
    .visual_tokens = "one a patch: <image>",
    .exemptions = {{"bake-means", Tower::vision,
                    "the projector reads the stream without a norm, means and all"}},
    .recognises = [](const Config& c) { return c.model_type() == "llava"; },
    .add_blocks = add_blocks,
    .make_processor = make_llava_processor};

}  // namespace mquant
