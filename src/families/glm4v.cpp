// GLM-4V-9B: EVA2-CLIP with its adapter, then GLM-4: fused projections with grouped heads, half of each head rotary.
#include "families/parts.h"
#include "families/processors.h"
#include "mquant/error.h"
#include "mquant/family.h"

namespace mquant {
namespace {

LayerShape decoder_shape(const Config& c) {
  if (c.boolean_or("add_bias_linear", false))
    fail(ErrorKind::unsupported, c.origin(), ": 'add_bias_linear' is true; GLM-4V has no such biases");
  if (!c.boolean_or("rmsnorm", true) || c.boolean_or("apply_residual_connection_post_layernorm", false))
    fail(ErrorKind::unsupported, c.origin(),
         ": 'rmsnorm' and 'apply_residual_connection_post_layernorm' are not as in GLM-4V");
  if (!c.boolean_or("post_layer_norm", true))
    fail(ErrorKind::unsupported, c.origin(),
         ": 'post_layer_norm' is false; GLM-4V has a norm before its head");
  const std::int64_t heads = c.positive("num_attention_heads"), dim = c.positive("kv_channels");
  const bool grouped = c.boolean_or("multi_query_attention", false);
  if (grouped) exact_ratio(c, "num_attention_heads", "multi_query_group_num");  // checks them
  exact_ratio(c, "kv_channels", 4);  // pairs of rotary values in half of a head
  return {.width = c.positive("hidden_size"),
          .mlp_width = c.positive("ffn_hidden_size"),
          .attention = {.heads = heads,
                        .kv_heads = grouped ? c.positive("multi_query_group_num") : heads,
                        .head_dim = dim,
                        .scale = inverse_sqrt(dim),
                        .rope = {.pairs = RopePairs::neighbours,
                                 .base = 10000 * c.positive_number_or("rope_ratio", 1),
                                 .dims = dim / 2}},
          .eps = c.positive_number_or("layernorm_epsilon", 1e-5),
          .qkv_bias = c.boolean_or("add_qkv_bias", false)};
}

void add_blocks(ModelSpec& model, const Config& c) {
  model.decoder_width = c.positive("hidden_size");
  model.vocabulary = c.positive("padded_vocab_size");
  add_eva_tower(model, c, "transformer.vision.",
                {.conv_out = model.decoder_width,
                 .mlp_width = c.positive("ffn_hidden_size"),
                 .divisor = c.positive_number_or("vision_config.scaling_factor", 8)});
  const LayerNames names{.norm1 = "input_layernorm",
                         .q = "self_attention.query_key_value",
                         .o = "self_attention.dense",
                         .norm2 = "post_attention_layernorm",
                         .gate = "mlp.dense_h_to_4h",
                         .down = "mlp.dense_4h_to_h",
                         .fused = Fused::chunks,
                         .fused_mlp = Fused::chunks};
  add_decoder(model, "transformer.",
              {.layers = "encoder.layers.",
               .embed = "embedding.word_embeddings.weight",
               .norm = "encoder.final_layernorm",
               .head = "transformer.output_layer",
               .layer = names},
              decoder_shape(c), layer_count(c, "num_layers"));
}

}  // namespace

extern const Family glm4v = {
    .name = "glm4v",
    .summary = "GLM-4V-9B",
    .model_types = {"chatglm"},
    .tower =
        "EVA2-CLIP: post-norm layers, class token, learned positions; one stretched square; 2 x 2 patches in "
        "a token, a learned row before and behind them",
    .prompt =
        "<|user|> and <|assistant|>, no default system message; the picture stands before the text of its "
        "message",
    .visual_tokens =
        "one for 2 x 2 patches, and the learned rows: <|begin_of_image|>, <|endoftext|>, <|end_of_image|>",
    .most_pictures = 1,
    .exemptions = eva_exemptions(),
    .recognises = [](const Config& c) { return c.model_type() == "chatglm" && c.has("vision_config"); },
    .add_blocks = add_blocks,
    .make_processor = make_glm4v_processor};

}  // namespace mquant
