// CogVLM2 (Llama 3): EVA2-CLIP with its adapter; every decoder layer has its own linears for visual tokens.
#include "families/parts.h"
#include "families/processors.h"
#include "mquant/error.h"
#include "mquant/family.h"

namespace mquant {
namespace {

LayerNames expert_names(const std::string& kind) {
  const std::string expert = "self_attn." + kind + "_expert_", mlp = "mlp." + kind + "_mlp.";
  return {.norm1 = "input_layernorm",
          .q = expert + "query_key_value",
          .o = expert + "dense",
          .norm2 = "post_attention_layernorm",
          .gate = mlp + "gate_proj",
          .up = mlp + "up_proj",
          .down = mlp + "down_proj",
          .fused = Fused::chunks};
}

void add_blocks(ModelSpec& model, const Config& c) {
  model.decoder_width = c.positive("hidden_size");
  model.vocabulary = c.positive("vocab_size");
  add_eva_tower(
      model, c, "model.vision.",
      {.conv_out = c.positive("vision_config.hidden_size"), .mlp_width = c.positive("intermediate_size")});
  LayerShape shape =
      llama_shape(c, "", {.kv_heads = c.positive_or("num_multi_query_heads", 8), .rope_base = 500000});
  shape.attention.rope.frequencies = "inv_freq";  // the checkpoint holds them, rounded to bf16
  LayerShape visual = shape;
  visual.qkv_bias = true;
  model.blocks.push_back(embed_block("model.embed_tokens.weight", model.vocabulary, model.decoder_width));
  for (std::int64_t i = 0; i < layer_count(c, "num_hidden_layers"); ++i) {
    const std::string prefix = cat("model.layers.", i, ".");
    BlockSpec layer = expert_layer(cat("decoder.", i), prefix, expert_names("vision"),
                                   expert_names("language"), visual, shape);
    layer.params.push_back({.name = "inv_freq",
                            .source = stored(prefix + "self_attn.rotary_emb.inv_freq"),
                            .shape = {shape.attention.head_dim / 2}});
    layer.params.back().source.optional = true;
    model.blocks.push_back(layer);
  }
  model.blocks.push_back(head_block("model.norm", "lm_head",
                                    ties_embeddings(c) ? "model.embed_tokens.weight" : "", model.vocabulary,
                                    model.decoder_width, shape.eps));
  model.tied_key = "tie_word_embeddings";
}

}  // namespace

// The release's config.json states no type but its class.
extern const Family cogvlm2 = {
    .name = "cogvlm2",
    .summary = "CogVLM2 19B (Llama 3)",
    .model_types = {"cogvlm2", "CogVLMForCausalLM"},
    .tower =
        "EVA2-CLIP: post-norm layers, class token, learned positions; one stretched square; 2 x 2 patches in "
        "a token, a learned row before and behind them",
    .prompt = "Question: and Answer:, no system message; the picture stands before all turns",
    .visual_tokens =
        "one for 2 x 2 patches, and the learned row before them, which have linears of their own in every "
        "decoder layer; the learned row behind them is text",
    .most_pictures = 1,
    .exemptions = eva_exemptions(),
    .recognises =
        [](const Config& c) { return c.model_type() == "cogvlm2" || c.model_type() == "CogVLMForCausalLM"; },
    .add_blocks = add_blocks,
    .make_processor = make_cogvlm2_processor};

}  // namespace mquant
