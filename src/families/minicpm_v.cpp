// MiniCPM-V 2.6: SigLIP on slices of a picture, each of its own size; a resampler with sine-cosine positions; Qwen2.
#include "families/parts.h"
#include "families/processors.h"
#include "mquant/error.h"
#include "mquant/family.h"
#include "support/checked.h"

namespace mquant {
namespace {

constexpr std::int64_t kMostSide = 128;

void add_blocks(ModelSpec& model, const Config& c) {
  if (c.has("version") && c.number("version") != 2.6)
    fail(ErrorKind::unsupported, c.origin(), ": 'version' is ", c.number("version"),
         "; of MiniCPM-V only 2.6 is known");
  require_no_sliding_window(c, "");
  model.decoder_width = c.positive("hidden_size");
  model.vocabulary = c.positive("vocab_size");
  add_siglip_tower(
      model, c, "vpm.",
      {.lookup = Lookup::buckets, .left_out = c.boolean_or("drop_vision_last_layer", true) ? 1 : 0});
  // A slice has about (image_size / patch)^2 patches: so many, at most, lie on one side of it.
  const std::int64_t side = c.positive_or("image_size", 448) / c.positive("vision_config.patch_size");
  if (side < 1 || side > kMostSide)  // the table of positions is made, not read: nothing else bounds it
    fail(ErrorKind::input, c.origin(), ": 'image_size' has ", side, " patches on a side: expected 1 to ",
         kMostSide);
  const std::string r = "resampler.";
  model.blocks.push_back(resampler_block(
      {r + "query", r + "kv_proj", r + "ln_q", r + "ln_kv", r + "attn.", r + "ln_post", r + "proj"},
      {.width = model.vision_width,
       .out = model.decoder_width,
       .heads = c.positive("num_attention_heads"),
       .queries = c.positive_or("query_num", 64),
       .norm = "vpm.post_layernorm",
       .sincos_side = checked_product({2, side, side}),
       .norm_eps = c.positive_number_or("vision_config.layer_norm_eps", 1e-6)}));
  add_decoder(model, "llm.model.", {.head = "llm.lm_head", .tied = ties_embeddings(c)},
              llama_shape(c, "", {.kv_heads = 32, .qkv_bias = true}), layer_count(c, "num_hidden_layers"));
  model.tied_key = "tie_word_embeddings";
}

}  // namespace

extern const Family minicpm_v = {
    .name = "minicpm_v",
    .summary = "MiniCPM-V 2.6",
    .model_types = {"minicpmv"},
    .tower =
        "SigLIP: LayerNorm, learned positions; a view of the whole and slices, each of its own size; a "
        "resampler of 64 queries",
    .prompt =
        "ChatML with a default system message; a picture stands where the sample has it, with its number",
    .visual_tokens = "64 for the whole picture and for each slice: <unk>",
    .recognises = [](const Config& c) { return c.model_type() == "minicpmv"; },
    .add_blocks = add_blocks,
    .make_processor = make_minicpm_v_processor};

}  // namespace mquant
