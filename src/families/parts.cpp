// Lookups and blocks that several families share.
#include "families/parts.h"

#include <algorithm>
#include <cmath>

#include "mquant/error.h"
#include "support/strings.h"

namespace mquant {
namespace {

constexpr std::int64_t kMostLayers = 1000;

}  // namespace

std::string text(const Config& config) { return config.has("text_config") ? "text_config." : ""; }

std::int64_t exact_ratio(const Config& config, const std::string& a, const std::string& b) {
  const std::int64_t x = config.positive(a), y = config.positive(b);
  if (x % y != 0)
    fail(ErrorKind::input, config.origin(), ": '", a, "' is ", x, ": expected a multiple of '", b,
         "', which is ", y);
  return x / y;
}

std::int64_t exact_ratio(const Config& config, const std::string& a, std::int64_t b) {
  const std::int64_t x = config.positive(a);
  if (x % b != 0)
    fail(ErrorKind::input, config.origin(), ": '", a, "' is ", x, ": expected a multiple of ", b);
  return x / b;
}

double inverse_sqrt(std::int64_t n) { return 1.0 / std::sqrt(static_cast<double>(n)); }

std::int64_t times_ratio(const Config& config, std::int64_t width, const std::string& path) {
  const double size = static_cast<double>(width) * config.positive_number(path);
  if (!(size >= 1 && size <= static_cast<double>(Config::kLargestSize)))
    fail(ErrorKind::input, config.origin(), ": '", path, "': ", width, " times ", config.number(path),
         ": expected a size of 1 to ", Config::kLargestSize);
  return static_cast<std::int64_t>(size);
}

std::int64_t layer_count(const Config& config, const std::string& path) {
  return config.positive(path, kMostLayers);
}

std::int64_t layer_count(const Config& config, const std::string& path, std::int64_t otherwise) {
  return config.positive_or(path, otherwise, kMostLayers);
}

bool ties_embeddings(const Config& config, bool otherwise) {
  const std::string key = "tie_word_embeddings";
  const bool inner = config.boolean_or("text_config." + key, otherwise);
  return config.boolean_or(key, inner);
}

bool ties_embeddings_anywhere(const Config& config) {
  const std::string key = "tie_word_embeddings";
  return config.boolean_or(key, false) || config.boolean_or("text_config." + key, false);
}

Activation activation(const Config& config, const std::string& path, std::string_view otherwise) {
  const std::string name = config.string_or(path, otherwise);
  if (name == "silu" || name == "swish") return Activation::silu;
  if (name == "gelu") return Activation::gelu;
  if (name == "gelu_pytorch_tanh" || name == "gelu_new") return Activation::gelu_tanh;
  if (name == "quick_gelu") return Activation::quick_gelu;
  fail(ErrorKind::unsupported, config.origin(), ": '", path, "': activation \"", name,
       "\"; known are silu, gelu, gelu_pytorch_tanh, quick_gelu");
}

void require_no_sliding_window(const Config& config, const std::string& prefix) {
  if (config.boolean_or(prefix + "use_sliding_window", false))
    fail(ErrorKind::unsupported, config.origin(), ": '", prefix,
         "use_sliding_window' is true; sliding windows are not known for this family");
}

std::int64_t square(const Config& config, const std::string& path, std::int64_t otherwise) {
  if (otherwise > 0 && !config.has(path)) return otherwise;
  const std::vector<std::int64_t> sides = config.integers(path);
  if (sides.empty() || sides.size() > 2 || sides.front() != sides.back() || sides.front() < 1 ||
      sides.front() > Config::kLargestSize)
    fail(ErrorKind::input, config.origin(), ": '", path, "': expected a size of 1 to ", Config::kLargestSize,
         ", or two equal ones");
  return sides.front();
}

NormKind vision_norm(const Config& config, const std::string& path, std::string_view otherwise) {
  const std::string type = config.string_or(path, otherwise);
  if (type != "layer_norm" && type != "rms_norm")
    fail(ErrorKind::unsupported, config.origin(), ": '", path, "' is \"", type,
         "\"; known are layer_norm and rms_norm");
  return type == "rms_norm" ? NormKind::rms : NormKind::layer;
}

std::int64_t shuffle_side(const Config& config, const std::string& path) {
  const double ratio = config.number_or(path, 0.5), side = ratio > 0 ? 1 / ratio : 0;
  if (side < 1 || side > 64 || side != std::floor(side))
    fail(ErrorKind::input, config.origin(), ": '", path, "' is ", ratio, ": expected 1, 1/2, 1/3, ...");
  return static_cast<std::int64_t>(side);
}

std::int64_t feature_layers(const Config& config, std::int64_t depth, const std::string& path,
                            std::int64_t otherwise) {
  const std::vector<std::int64_t> stated =
      config.has(path) ? config.integers(path) : std::vector<std::int64_t>{otherwise};
  if (stated.empty())
    fail(ErrorKind::input, config.origin(), ": '", path, "' is []: expected the number of a layer");
  if (stated.size() > 1)
    fail(ErrorKind::unsupported, config.origin(), ": '", path, "' is ", printable(config.raw(path)),
         ": the features of several layers side by side; known is one layer");
  const std::int64_t index = stated.front();
  const bool in_tower = index >= -depth - 1 && index <= depth;
  const std::int64_t layers = index < 0 ? depth + 1 + (in_tower ? index : 0) : index;
  if (!in_tower)
    fail(ErrorKind::input, config.origin(), ": '", path, "' is ", index, ": the tower has ", depth,
         " layers");
  return layers;
}

LayerNames llama_names() {
  return {.norm1 = "input_layernorm",
          .q = "self_attn.q_proj",
          .k = "self_attn.k_proj",
          .v = "self_attn.v_proj",
          .o = "self_attn.o_proj",
          .norm2 = "post_attention_layernorm",
          .gate = "mlp.gate_proj",
          .up = "mlp.up_proj",
          .down = "mlp.down_proj"};
}

LayerNames clip_names() {
  return {.norm1 = "layer_norm1",
          .q = "self_attn.q_proj",
          .k = "self_attn.k_proj",
          .v = "self_attn.v_proj",
          .o = "self_attn.out_proj",
          .norm2 = "layer_norm2",
          .up = "mlp.fc1",
          .down = "mlp.fc2"};
}

LayerShape vision_shape(const Config& config, const TowerShape& tower) {
  if (tower.width % tower.heads != 0)
    fail(ErrorKind::input, config.origin(), ": a vision tower of width ", tower.width, " and ", tower.heads,
         " heads: expected a multiple");
  const std::int64_t dim = tower.width / tower.heads;
  return {.width = tower.width,
          .mlp_width = tower.mlp_width,
          .attention = {.heads = tower.heads,
                        .kv_heads = tower.heads,
                        .head_dim = dim,
                        .scale = inverse_sqrt(dim),
                        .sees = Sees::picture},
          .norm = NormKind::layer,
          .eps = tower.eps,
          .activation = tower.activation,
          .qkv_bias = true,
          .o_bias = true,
          .mlp_bias = true};
}

LayerShape llama_shape(const Config& config, const std::string& prefix, const DecoderDefaults& defaults) {
  const auto size = [&](const char* key, std::int64_t otherwise) {
    return otherwise > 0 ? config.positive_or(prefix + key, otherwise) : config.positive(prefix + key);
  };
  const std::int64_t width = size("hidden_size", defaults.width),
                     heads = size("num_attention_heads", defaults.heads),
                     kv_heads =
                         size("num_key_value_heads", defaults.kv_heads > 0 ? defaults.kv_heads : heads);
  std::int64_t dim = config.positive_or(prefix + "head_dim", std::max<std::int64_t>(1, defaults.head_dim));
  if (!config.has(prefix + "head_dim") && defaults.head_dim == 0) {
    if (width % heads != 0)
      fail(ErrorKind::input, config.origin(), ": '", prefix, "hidden_size' is ", width,
           ": expected a multiple of the number of heads, which is ", heads);
    dim = width / heads;
  }
  if (heads % kv_heads != 0)
    fail(ErrorKind::input, config.origin(), ": '", prefix, "num_attention_heads' is ", heads,
         ": expected a multiple of the number of key-value heads, which is ", kv_heads);
  if (dim % 2 != 0)
    fail(ErrorKind::input, config.origin(), ": heads of ", dim,
         " values; rotary positions need an even number");
  const bool states_bias = !defaults.qkv_bias && config.boolean_or(prefix + "attention_bias", false);
  LayerShape shape{.width = width,
                   .mlp_width = size("intermediate_size", defaults.mlp_width),
                   .attention = {.heads = heads,
                                 .kv_heads = kv_heads,
                                 .head_dim = dim,
                                 .scale = inverse_sqrt(dim),
                                 .rope = {.pairs = RopePairs::halves, .dims = dim}},
                   .eps = config.positive_number_or(prefix + "rms_norm_eps", defaults.eps),
                   .activation = activation(config, prefix + "hidden_act", "silu"),
                   .qkv_bias = defaults.qkv_bias || states_bias,
                   .o_bias = states_bias,
                   .mlp_bias = config.boolean_or(prefix + "mlp_bias", false)};
  set_rope(config, prefix, defaults.rope_base, shape.attention.rope, defaults.rope_layers);
  return shape;
}

void add_decoder(ModelSpec& model, const std::string& prefix, const DecoderNames& names,
                 const LayerShape& shape, std::int64_t count) {
  model.blocks.push_back(embed_block(prefix + names.embed, model.vocabulary, model.decoder_width));
  for (std::int64_t i = 0; i < count; ++i)
    model.blocks.push_back(transformer_layer(cat("decoder.", i), Tower::decoder, Space::decoder,
                                             cat(prefix, names.layers, i, "."), names.layer, shape));
  model.blocks.push_back(head_block(prefix + names.norm, names.head, names.tied ? prefix + names.embed : "",
                                    model.vocabulary, model.decoder_width, shape.eps));
}

}  // namespace mquant
