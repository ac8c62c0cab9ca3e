// InternVL 2.5, 3 and 3.5 in the layout of transformers: the tower of InternVL2 under other names, a Qwen2 or Llama
// decoder (Qwen3 in 3.5: heads of a stated size with norms of their own).
#include "families/parts.h"
#include "families/processors.h"
#include "mquant/error.h"
#include "mquant/family.h"
#include "support/checked.h"

namespace mquant {
namespace {

void add_tower(ModelSpec& model, const Config& c) {
  const std::string v = "vision_config.", prefix = "vision_tower.";
  const std::int64_t patch = square(c, v + "patch_size", 14), side = square(c, v + "image_size", 448) / patch;
  model.vision_width = c.positive_or(v + "hidden_size", 1024);
  model.blocks.push_back(
      stem_block({prefix + "embeddings.patch_embeddings.projection", prefix + "embeddings.cls_token",
                  prefix + "embeddings.position_embeddings", ""},
                 {.width = model.vision_width,
                  .patch = patch,
                  .channels = c.positive_or(v + "num_channels", 3),
                  .places = checked_product({side, side}),
                  .leading_ones = true,
                  .lookup = Lookup::bicubic}));
  LayerShape layer = vision_shape(c, {.width = model.vision_width,
                                      .mlp_width = c.positive_or(v + "intermediate_size", 4096),
                                      .heads = c.positive_or(v + "num_attention_heads", 16),
                                      .eps = c.positive_number_or(v + "layer_norm_eps", 1e-6),
                                      .activation = activation(c, v + "hidden_act", "gelu")});
  layer.norm = vision_norm(c, v + "norm_type", "layer_norm");
  layer.qkv_bias = c.boolean_or(v + "attention_bias", false);
  LayerNames names{.norm1 = "layernorm_before",
                   .q = "attention.q_proj",
                   .k = "attention.k_proj",
                   .v = "attention.v_proj",
                   .o = "attention.projection_layer",
                   .norm2 = "layernorm_after",
                   .up = "mlp.fc1",
                   .down = "mlp.fc2",
                   .scale1 = "lambda_1",
                   .scale2 = "lambda_2"};
  if (c.boolean_or(v + "use_qk_norm", false)) {
    names.q_norm = "attention.q_norm";
    names.k_norm = "attention.k_norm";
    layer.qk_norm_width = model.vision_width;
    layer.qk_norm_eps = 1e-6;  // whatever layer_norm_eps says
  }
  const std::int64_t layers =
      feature_layers(c, layer_count(c, v + "num_hidden_layers", 24), "vision_feature_layer", -1);
  for (std::int64_t i = 0; i < layers; ++i)
    model.blocks.push_back(transformer_layer(cat("vision.", i), Tower::vision, Space::vision,
                                             cat(prefix, "encoder.layer.", i, "."), names, layer));
}

void add_blocks(ModelSpec& model, const Config& c) {
  const std::string t = "text_config.", type = c.string_or(t + "model_type", "qwen2");
  if (type != "qwen2" && type != "qwen3" && type != "llama")
    fail(ErrorKind::unsupported, c.origin(), ": 'text_config.model_type' is '", type,
         "'; known are qwen2, qwen3 and llama");
  require_no_sliding_window(c, t);
  if (!c.boolean_or("vision_config.use_mean_pooling", true))
    fail(ErrorKind::unsupported, c.origin(),
         ": 'vision_config.use_mean_pooling' is false: a norm behind the tower");
  if (!c.boolean_or("vision_config.use_absolute_position_embeddings", true))
    fail(ErrorKind::unsupported, c.origin(),
         ": 'vision_config.use_absolute_position_embeddings' is false: a tower without positions");
  if (const std::string rows = c.string_or("vision_feature_select_strategy", "default"); rows != "default")
    fail(ErrorKind::unsupported, c.origin(), ": 'vision_feature_select_strategy' is '", rows,
         "'; known is default");
  model.decoder_width = c.positive(t + "hidden_size");
  model.vocabulary = c.positive(t + "vocab_size");
  add_tower(model, c);
  const std::string projector = "multi_modal_projector.";
  model.blocks.push_back(projector_block(
      "projector", "visual", {projector + "layer_norm", projector + "linear_1", projector + "linear_2"},
      {.width = model.vision_width,
       .inner = model.decoder_width,
       .out = model.decoder_width,
       .drop = 1,
       .merge = Merge::grid,
       .side = shuffle_side(c, "downsample_ratio"),
       .merge_first = true,
       .eps = 1e-5,
       .activation = activation(c, "projector_hidden_act", "gelu")}));
  LayerShape decoder = llama_shape(c, t,
                                   {.kv_heads = type == "llama" ? 0 : 32,
                                    .head_dim = type == "qwen3" ? 128 : 0,
                                    .qkv_bias = type == "qwen2"});
  DecoderNames names{.head = "language_model.lm_head", .tied = ties_embeddings(c, true)};
  if (type == "qwen3") {
    names.layer.q_norm = "self_attn.q_norm";
    names.layer.k_norm = "self_attn.k_norm";
  }
  add_decoder(model, "language_model.model.", names, decoder, layer_count(c, t + "num_hidden_layers"));
  model.renames = {{"language_model.model.", "model.language_model."},
                   {"language_model.lm_head", "lm_head"},
                   {"vision_tower.", "model.vision_tower."},
                   {projector, "model." + projector}};
  model.tied_key = "tie_word_embeddings";
}

}  // namespace

extern const Family internvl_hf = {
    .name = "internvl_hf",
    .summary = "InternVL 2.5, 3 and 3.5 as converted for transformers (-hf)",
    .model_types = {"internvl"},
    .tower =
        "InternViT: LayerNorm (RMSNorm in some), class token, layer scales, learned positions; square tiles "
        "and a view of the whole; 2 x 2 patches in a token",
    .prompt = "ChatML, no default system message; a picture stands where the sample has it",
    .visual_tokens = "one for 2 x 2 patches of a tile: <IMG_CONTEXT>",
    .exemptions = {{"bake-means", Tower::vision,
                    "the projector's LayerNorm over four patches reads their means"}},
    .recognises = [](const Config& c) { return c.model_type() == "internvl"; },
    .add_blocks = add_blocks,
    .make_processor = make_internvl_hf_processor};

}  // namespace mquant
