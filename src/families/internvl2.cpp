// InternVL2 and 2.5 with InternLM2 (2B, 8B, 26B): InternViT with class token and layer scale, pixel shuffle, a
// LayerNorm over each four patches, two linears.
#include "families/parts.h"
#include "families/processors.h"
#include "mquant/error.h"
#include "mquant/family.h"
#include "support/checked.h"

namespace mquant {
namespace {

void add_tower(ModelSpec& model, const Config& c) {
  const std::string v = "vision_config.", prefix = "vision_model.";
  const std::int64_t patch = c.positive(v + "patch_size"), side = square(c, v + "image_size") / patch;
  model.vision_width = c.positive(v + "hidden_size");
  model.blocks.push_back(
      stem_block({prefix + "embeddings.patch_embedding", prefix + "embeddings.class_embedding",
                  prefix + "embeddings.position_embedding", ""},
                 {.width = model.vision_width,
                  .patch = patch,
                  .channels = c.positive_or(v + "num_channels", 3),
                  .places = checked_product({side, side}),
                  .leading_ones = true,
                  .lookup = Lookup::bicubic}));
  LayerShape layer = vision_shape(c, {.width = model.vision_width,
                                      .mlp_width = c.positive(v + "intermediate_size"),
                                      .heads = c.positive(v + "num_attention_heads"),
                                      .eps = c.positive_number_or(v + "layer_norm_eps", 1e-6),
                                      .activation = activation(c, v + "hidden_act", "gelu")});
  layer.norm = vision_norm(c, v + "norm_type", "rms_norm");
  layer.qkv_bias = c.boolean_or(v + "qkv_bias", false);
  LayerNames names{.norm1 = "norm1",
                   .q = "attn.qkv",
                   .o = "attn.proj",
                   .norm2 = "norm2",
                   .up = "mlp.fc1",
                   .down = "mlp.fc2",
                   .fused = Fused::chunks,
                   .scale1 = "ls1",
                   .scale2 = "ls2"};
  if (c.boolean_or(v + "qk_normalization", true)) {
    names.q_norm = "attn.q_norm";
    names.k_norm = "attn.k_norm";
    layer.qk_norm_width = model.vision_width;
  }
  const std::int64_t layers = feature_layers(c, layer_count(c, v + "num_hidden_layers"), "select_layer", -1);
  for (std::int64_t i = 0; i < layers; ++i)
    model.blocks.push_back(transformer_layer(cat("vision.", i), Tower::vision, Space::vision,
                                             cat(prefix, "encoder.layers.", i, "."), names, layer));
}

void add_blocks(ModelSpec& model, const Config& c) {
  const std::string l = "llm_config.";
  if (const std::string type = c.string_or(l + "model_type", "internlm2"); type != "internlm2")
    fail(ErrorKind::unsupported, c.origin(), ": 'llm_config.model_type' is '", type,
         "'; of InternVL2 only the releases with internlm2 are known");
  if (const std::string shuffle = c.string_or("ps_version", "v1"); shuffle != "v2")
    fail(ErrorKind::unsupported, c.origin(), ": 'ps_version' is ", shuffle,
         ", which turns pictures on their side; known is v2");
  model.decoder_width = c.positive(l + "hidden_size");
  model.vocabulary = c.positive(l + "vocab_size");
  add_tower(model, c);
  model.blocks.push_back(projector_block("projector", "visual", {"mlp1.0", "mlp1.1", "mlp1.3"},
                                         {.width = model.vision_width,
                                          .inner = model.decoder_width,
                                          .out = model.decoder_width,
                                          .drop = 1,
                                          .merge = Merge::grid,
                                          .side = shuffle_side(c, "downsample_ratio"),
                                          .merge_first = true,
                                          .eps = 1e-5}));
  LayerShape decoder = llama_shape(c, l, {.eps = 1e-6, .rope_base = 1e4});
  decoder.qkv_bias = decoder.o_bias = c.boolean_or(l + "bias", true);
  const LayerNames names{.norm1 = "attention_norm",
                         .q = "attention.wqkv",
                         .o = "attention.wo",
                         .norm2 = "ffn_norm",
                         .gate = "feed_forward.w1",
                         .up = "feed_forward.w3",
                         .down = "feed_forward.w2",
                         .fused = Fused::per_group};
  add_decoder(model, "language_model.model.",
              {.embed = "tok_embeddings.weight",
               .head = "language_model.output",
               .tied = c.boolean_or(l + "tie_word_embeddings", false),
               .layer = names},
              decoder, layer_count(c, l + "num_hidden_layers"));
  model.tied_key = l + "tie_word_embeddings";
}

}  // namespace

extern const Family internvl2 = {
    .name = "internvl2",
    .summary = "InternVL2 and 2.5 with InternLM2: 2B, 8B, 26B",
    .model_types = {"internvl_chat"},
    .tower =
        "InternViT: LayerNorm (RMSNorm in the 26B), class token, layer scales, learned positions; square "
        "tiles and a view of the whole; 2 x 2 patches in a token",
    .prompt =
        "ChatML with a default system message; pictures stand before the text of their message, numbered if "
        "there are several",
    .visual_tokens = "one for 2 x 2 patches of a tile: <IMG_CONTEXT>",
    .exemptions = {{"bake-means", Tower::vision,
                    "the projector's LayerNorm over four patches reads their means"}},
    .recognises = [](const Config& c) { return c.model_type() == "internvl_chat"; },
    .add_blocks = add_blocks,
    .make_processor = make_internvl2_processor};

}  // namespace mquant
