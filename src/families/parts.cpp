// Lookups and blocks that several families share.
#include "families/parts.h"

#include <cmath>
#include <numeric>

#include "mquant/error.h"

namespace mquant {

std::string text(const Config& config) { return config.has("text_config") ? "text_config." : ""; }

std::int64_t exact_ratio(const Config& config, const std::string& a, const std::string& b) {
  const std::int64_t x = config.positive(a), y = config.positive(b);
  if (x % y != 0)
    fail(ErrorKind::input, config.origin(), ": '", a, "' is ", x, ": expected a multiple of '", b,
         "', which is ", y);
  return x / y;
}

double inverse_sqrt(std::int64_t n) { return 1.0 / std::sqrt(static_cast<double>(n)); }

Activation activation(const Config& config, const std::string& path, std::string_view otherwise) {
  const std::string name = config.string_or(path, otherwise);
  if (name == "silu" || name == "swish") return Activation::silu;
  if (name == "gelu") return Activation::gelu;
  if (name == "gelu_pytorch_tanh" || name == "gelu_new") return Activation::gelu_tanh;
  if (name == "quick_gelu") return Activation::quick_gelu;
  fail(ErrorKind::unsupported, config.origin(), ": '", path, "': activation \"", name,
       "\"; known are silu, gelu, gelu_pytorch_tanh, quick_gelu");
}

double rope_base(const Config& config, const std::string& prefix, double otherwise) {
  for (const char* key : {"rope_theta", "rope_parameters.rope_theta", "rope_scaling.rope_theta"})
    if (config.has(prefix + key)) return config.number(prefix + key);
  return otherwise;
}

std::vector<std::int64_t> mrope_sections(const Config& config, const std::string& prefix, std::int64_t dim) {
  const std::string path =
      prefix + (config.has(prefix + "rope_parameters.mrope_section") ? "rope_parameters" : "rope_scaling") +
      ".mrope_section";
  std::vector<std::int64_t> sections = config.integers(path);
  const std::int64_t sum = std::accumulate(sections.begin(), sections.end(), std::int64_t{0});
  if (sections.size() != 3 || sum != dim / 2)
    fail(ErrorKind::input, config.origin(), ": '", path, "': expected three counts that sum to ", dim / 2,
         ", half of a head; they sum to ", sum);
  return sections;
}

void require_no_sliding_window(const Config& config, const std::string& prefix) {
  if (config.boolean_or(prefix + "use_sliding_window", false))
    fail(ErrorKind::unsupported, config.origin(), ": '", prefix,
         "use_sliding_window' is true; sliding windows are not known for this family");
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

BlockSpec norm_merge_mlp(const std::string& norm, const std::string& fc1, const std::string& fc2,
                         const MergerShape& s) {
  const auto stored = [](const std::string& name) {
    Source source;
    source.name = name;
    return source;
  };
  const std::int64_t wide = s.width * s.rows;
  BlockSpec block;
  block.name = "projector";
  block.tower = Tower::projector;
  block.on_tokens = false;
  block.norms = {{.name = "norm",
                  .kind = NormKind::layer,
                  .width = s.width,
                  .eps = s.eps,
                  .weight = stored(norm + ".weight"),
                  .bias = stored(norm + ".bias"),
                  .space = Space::vision}};
  block.linears = {
      {"fc1", wide, wide, stored(fc1 + ".weight"), stored(fc1 + ".bias"), Space::vision, Space::none, "norm"},
      {"fc2", s.out, wide, stored(fc2 + ".weight"), stored(fc2 + ".bias"), Space::hidden, Space::decoder,
       ""}};
  Step act{.op = Op::activation, .out = "h", .in = {"h"}};
  act.activation = s.activation;
  Step merge{.op = Op::merge_rows, .out = "m", .in = {"n"}};
  merge.count = s.rows;
  block.steps = {{.op = Op::norm, .out = "n", .in = {"x"}, .name = "norm"},
                 merge,
                 {.op = Op::linear, .out = "h", .in = {"m"}, .name = "fc1"},
                 act,
                 {.op = Op::linear, .out = "visual", .in = {"h"}, .name = "fc2"}};
  block.keeps = {"visual"};
  return block;
}

}  // namespace mquant
