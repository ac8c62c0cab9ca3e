// Gemma 3 (4B, 12B, 27B): SigLIP pooled to a fixed number of tokens; norms by 1 + weight, before and behind attention
// and MLP; layers that see a window of tokens, and pictures whole.
#include <algorithm>
#include <cmath>

#include "families/parts.h"
#include "families/processors.h"
#include "mquant/error.h"
#include "mquant/family.h"
#include "support/strings.h"

namespace mquant {
namespace {

const char* const kText = "text_config.";
const char* const kTower = "vision_tower.vision_model.";

/// The tower's norm, k x k patches in one by their mean, an RMSNorm, one linear.
BlockSpec projector(const ModelSpec& model, const Config& c) {
  const std::int64_t tokens = c.positive_or("mm_tokens_per_image", 256), width = model.vision_width;
  const auto per_side = static_cast<std::int64_t>(std::llround(std::sqrt(static_cast<double>(tokens))));
  const std::int64_t side =
      c.positive_or("vision_config.image_size", 224) / c.positive_or("vision_config.patch_size", 16);
  if (per_side * per_side != tokens || side % per_side != 0)
    fail(ErrorKind::input, c.origin(), ": 'mm_tokens_per_image' is ", tokens,
         ": expected the square of a divisor of ", side, ", the patches on one side");
  const double eps = c.positive_number_or("vision_config.layer_norm_eps", 1e-6);
  const std::string name = "multi_modal_projector.", post = std::string(kTower) + "post_layernorm";
  BlockSpec block;
  block.name = "projector";
  block.tower = Tower::projector;
  block.on_tokens = false;
  block.norms = {norm_of("post", post, NormKind::layer, width, eps, Space::vision),
                 norm_of("soft", name + "mm_soft_emb_norm", NormKind::rms, width, eps, Space::none)};
  block.norms[1].one_plus = true;
  LinearSpec proj =
      linear_of("proj", "", model.decoder_width, width, false, {Space::none, Space::decoder, "soft"});
  proj.weight = stored(name + "mm_input_projection_weight");
  proj.weight.transposed = true;
  block.linears = {basis_of("basis", post + ".basis", width, {Space::vision, Space::none, "post"}), proj};
  block.steps = {step(Op::norm, "n", {"x"}, "post"), step(Op::average_pool, "n", {"n"}, "", side / per_side),
                 step(Op::linear, "n", {"n"}, "basis"), step(Op::norm, "n", {"n"}, "soft"),
                 step(Op::linear, "visual", {"n"}, "proj")};
  block.keeps = {"visual"};
  return block;
}

/// Whether each layer sees the whole prompt, or a window of it.
std::vector<bool> full_layers(const Config& c, std::int64_t layers) {
  const std::string types = cat(kText, "layer_types");
  std::vector<bool> full;
  if (!c.has(types)) {
    const std::int64_t pattern = c.positive_or(cat(kText, "sliding_window_pattern"), 6);
    for (std::int64_t i = 0; i < layers; ++i) full.push_back((i + 1) % pattern == 0);
    return full;
  }
  const auto is_there = [&](std::int64_t i) { return !c.raw(cat(types, ".", i)).empty(); };
  for (std::int64_t i = 0; i < layers && is_there(i); ++i) {
    const std::string type = c.string(cat(types, ".", i));
    if (type != kFullAttention && type != kSlidingAttention)
      fail(ErrorKind::unsupported, c.origin(), ": '", types, ".", i, "' is '", printable(type),
           "'; known are ", kFullAttention, " and ", kSlidingAttention);
    full.push_back(type == kFullAttention);
  }
  if (std::ssize(full) != layers || is_there(layers))
    fail(ErrorKind::input, c.origin(), ": '", types, "': expected a list of ", layers,
         ", one for each of 'num_hidden_layers', found ", printable(c.raw(types)));
  return full;
}

/// Tokens that a sliding layer sees.
std::int64_t window_of(const Config& c) {
  const std::string key = cat(kText, "sliding_window");
  if (c.raw(key) == "null")
    fail(ErrorKind::input, c.origin(), ": '", key,
         "' is null: expected a number of tokens, as there are sliding layers");
  return c.positive_or(key, 4096);
}

void add_layers(ModelSpec& model, const Config& c, const std::string& prefix, LayerShape shape) {
  LayerNames names = llama_names();
  names.q_norm = "self_attn.q_norm";
  names.k_norm = "self_attn.k_norm";
  names.norm2 = "pre_feedforward_layernorm";
  names.post1 = "post_attention_layernorm";
  names.post2 = "post_feedforward_layernorm";
  const RopeSpec rope = shape.attention.rope;
  RopeSpec local{.pairs = rope.pairs, .dims = rope.dims};
  set_rope(c, kText, 10000, local, kSlidingAttention);
  const std::int64_t layers = layer_count(c, cat(kText, "num_hidden_layers"), 26);
  const std::vector<bool> full = full_layers(c, layers);
  const std::int64_t window = std::ranges::find(full, false) == full.end() ? 0 : window_of(c);
  for (std::int64_t i = 0; i < layers; ++i) {
    const bool sees_all = full[static_cast<std::size_t>(i)];
    shape.attention.rope = sees_all ? rope : local;
    shape.attention.window = sees_all ? 0 : window;
    model.blocks.push_back(transformer_layer(cat("decoder.", i), Tower::decoder, Space::decoder,
                                             cat(prefix, "layers.", i, "."), names, shape));
  }
}

void add_blocks(ModelSpec& model, const Config& c) {
  const std::string t = kText, prefix = "language_model.model.";
  if (c.boolean_or(t + "use_bidirectional_attention", false))
    fail(ErrorKind::unsupported, c.origin(),
         ": 'text_config.use_bidirectional_attention' is true: an encoder, which writes no text");
  for (const char* key : {"final_logit_softcapping", "attn_logit_softcapping"})
    if (c.has(t + key))
      fail(ErrorKind::unsupported, c.origin(), ": '", t, key, "' is ", printable(c.raw(t + key)),
           ": logits are not capped in this family; expected null");
  model.decoder_width = c.positive_or(t + "hidden_size", 2304);
  model.vocabulary = c.positive_or(t + "vocab_size", 262208);
  add_siglip_tower(model, c, kTower,
                   {.width = 768, .mlp_width = 3072, .heads = 12, .layers = 12, .patch = 16, .image = 224});
  model.blocks.push_back(projector(model, c));
  model.blocks.push_back(embed_block(prefix + "embed_tokens.weight", model.vocabulary, model.decoder_width,
                                     std::sqrt(static_cast<double>(model.decoder_width))));
  LayerShape shape = llama_shape(c, t,
                                 {.width = 2304,
                                  .mlp_width = 9216,
                                  .heads = 8,
                                  .kv_heads = 4,
                                  .head_dim = 256,
                                  .rope_base = 1e6,
                                  .rope_layers = kFullAttention});
  shape.one_plus = true;
  shape.activation = activation(c, t + "hidden_activation", "gelu_pytorch_tanh");
  shape.attention.sees = Sees::causal_pictures;
  shape.attention.scale = 1 / std::sqrt(c.positive_number_or(t + "query_pre_attn_scalar", 256));
  add_layers(model, c, prefix, shape);
  model.blocks.push_back(head_block(prefix + "norm", "language_model.lm_head",
                                    ties_embeddings(c, true) ? prefix + "embed_tokens.weight" : "",
                                    model.vocabulary, model.decoder_width, shape.eps, true));
  model.renames = {{prefix, "model.language_model."},
                   {"language_model.lm_head", "lm_head"},
                   {"vision_tower.", "model.vision_tower."},
                   {"vision_tower.vision_model.", "vision_tower."},
                   {"vision_tower.vision_model.", "model.vision_tower."},
                   {"multi_modal_projector.", "model.multi_modal_projector."}};
  model.tied_key = "tie_word_embeddings";
}

}  // namespace

extern const Family gemma3 = {
    .name = "gemma3",
    .summary = "Gemma 3 4B, 12B, 27B (with pictures)",
    .model_types = {"gemma3"},
    .tower = "SigLIP: LayerNorm, learned positions; one stretched square; patches averaged to 256 tokens",
    .prompt =
        "<start_of_turn> turns, a system message at the front of the first; a picture stands where the "
        "sample has it",
    .visual_tokens = "256 a picture: <image_soft_token>",
    .exemptions = {{"rotate", Tower::decoder,
                    "norms after attention and MLP scale what is added to the stream"}},
    .recognises = [](const Config& c) { return c.model_type() == "gemma3"; },
    .add_blocks = add_blocks,
    .make_processor = make_gemma3_processor};

}  // namespace mquant
