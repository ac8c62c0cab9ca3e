// The compressed-tensors format, "pack-quantized": what transformers loads and runs, and engines that read its layout.
//
// Only what those engines compute right is written in it.  An online rotation, split columns, a LayerNorm that became
// an RMSNorm, a bias where the architecture has none: an engine would skip each of them without a word, so a
// calibration with one is refused.  Class scales (MSQ) are no such case: engines have one static scale for each linear,
// and "input_scale" is the largest of the classes', rounded up to the stored type; the manifest keeps all of them.
//
// Source: compressed-tensors 0.20.0 and transformers 5.23.0 (quantization_config, tensor names, packing).
#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "artifact/artifact_writer.h"
#include "artifact/calibration_files.h"
#include "artifact/check_linear.h"
#include "artifact/formats.h"
#include "artifact/targets.h"
#include "artifact/tensor_data.h"
#include "mquant/error.h"

namespace mquant {
namespace {

constexpr const char* kVersion = "0.17.0";  // of the layout: the first that has all of these keys

const StoredLinear* first_part(const Matrix& matrix, const StoredBlock& block) {
  const auto it = block.linears.find(matrix.parts[0]->name);
  if (it == block.linears.end())
    fail(ErrorKind::input, "block '", block.name, "': no linear '", matrix.parts[0]->name, "' is stored");
  return &it->second;
}

std::string why_not_quantized(const Matrix& matrix, const QuantizedLinear& q, DType dtype) {
  if (q.scheme.weight_bits == 16) return "quantizes activations alone";
  if (!matrix.stored_shape.empty()) return "is a quantized convolution";
  if (matrix.transposed) return "is stored [in, out]";
  if (matrix.module == matrix.tensor) return "is no module's weight";
  if (!q.split.empty()) return "has split columns (suppress)";
  if (q.scheme.activation_bits != 16 && !largest(q.input_scales)) return "has no input scale for any class";
  if (!exact_in(q.weight_scale, dtype))
    return cat("has weight scales that ", dtype_name(dtype),
               " cannot hold exactly, and engines would round them");
  return {};
}

std::string why_not(const Matrix& matrix, const StoredBlock& block, DType dtype) {
  const StoredLinear* linear = first_part(matrix, block);
  if (linear->rotation) return "has an online rotation (rotate-online)";
  for (const LinearSpec* part : matrix.parts) {
    if (part->weight.identity || !part->weight.stored_as.empty())
      return "is under a name of ours, where engines would not look";
    const auto it = block.linears.find(part->name);
    if (it == block.linears.end()) continue;
    if (it->second.bias && !matrix.describes_bias && !all_equal(view_of(it->second.bias), 0))
      return "has a bias that the architecture does not have";
    if (!it->second.quantized) continue;
    if (std::string reason = why_not_quantized(matrix, *it->second.quantized, dtype); !reason.empty())
      return reason;
  }
  return {};
}

std::string why_not(const NormSpec& spec, const StoredNorm& norm) {
  if (norm.kind != spec.kind) return "is an RMSNorm now (bake-means), and engines would compute a LayerNorm";
  if (norm.eps != spec.eps) return "has another eps than config.json";
  return {};
}

/// Why modules cannot be written: each reason once, with the first of its modules and their number.
class Reasons {
 public:
  /// `reason` "": none.
  void add(const std::string& module, const std::string& reason) {
    if (reason.empty()) return;
    const auto found = std::ranges::find(reasons_, reason, &Reason::text);
    if (found == reasons_.end())
      reasons_.push_back({reason, module, 1});
    else
      ++found->modules;
  }

  std::vector<std::string> lines() const {
    std::vector<std::string> lines;
    for (const Reason& reason : reasons_)
      lines.push_back(cat("'", reason.first, "' ", reason.text,
                          reason.modules == 1 ? "" : cat(", and ", reason.modules - 1, " more like it")));
    return lines;
  }

 private:
  struct Reason {
    std::string text, first;
    std::int64_t modules = 0;
  };
  std::vector<Reason> reasons_;
};

/// Modules by scheme, and those that stay float.
struct Modules {
  std::map<std::string, std::vector<std::string>> by_scheme;
  std::map<std::string, QuantScheme> schemes;
  std::vector<std::string> quantized, floats;
};

Modules modules_of(const ExportInput& input) {
  Modules modules;
  const OfficialNames names = names_in(*input.source, *input.model);
  std::set<std::string> seen;
  for (const BlockSpec& spec : input.model->blocks) {
    const StoredBlock block = read_calibrated(*input.calibration, spec.name, Detail::outline);
    for (const Matrix& matrix : matrices_of(spec, names)) {
      seen.insert(matrix.module);
      const StoredLinear* linear = first_part(matrix, block);
      if (!linear->quantized) {
        modules.floats.push_back(matrix.module);
        continue;
      }
      const QuantScheme scheme = linear->quantized->scheme;
      modules.by_scheme[scheme.name()].push_back(matrix.module);
      modules.schemes[scheme.name()] = scheme;
      modules.quantized.push_back(matrix.module);
    }
  }
  for (const std::string& name : input.source->names())  // linears that no block describes
    if (module_of(name) != name && input.source->get(name).shape.size() == 2 &&
        seen.insert(module_of(name)).second)
      modules.floats.push_back(module_of(name));
  return modules;
}

OrderedJson arguments(int bits, const char* strategy, const char* observer) {
  return {{"num_bits", bits},      {"type", "int"},
          {"symmetric", true},     {"strategy", strategy},
          {"group_size", nullptr}, {"block_structure", nullptr},
          {"dynamic", false},      {"actorder", nullptr},
          {"observer", observer},  {"observer_kwargs", OrderedJson::object()}};
}

std::vector<std::string> without(const std::vector<std::string>& all, const std::vector<std::string>& some) {
  std::vector<std::string> rest;
  for (const std::string& one : all)
    if (std::find(some.begin(), some.end(), one) == some.end()) rest.push_back(one);
  return rest;
}

OrderedJson groups_json(const Modules& modules, const ModelSpec& model) {
  OrderedJson groups = OrderedJson::object();
  int number = 0;
  for (const auto& [name, targets] : modules.by_scheme) {
    const QuantScheme scheme = modules.schemes.at(name);
    std::vector<std::string> others = without(modules.quantized, targets);
    others.insert(others.end(), modules.floats.begin(), modules.floats.end());
    OrderedJson group = {{"targets", target_patterns(targets, others, model)},
                         {"format", "pack-quantized"},
                         {"output_activations", nullptr},
                         {"weights", arguments(scheme.weight_bits, "channel", "memoryless_minmax")},
                         {"input_activations", nullptr}};
    if (scheme.activation_bits != 16) group["input_activations"] = arguments(8, "tensor", "static_minmax");
    groups[cat("group_", number++)] = std::move(group);
  }
  return groups;
}

OrderedJson config_of(const ExportInput& input) {
  const Modules modules = modules_of(input);
  return {{"quant_method", "compressed-tensors"},
          {"format", "pack-quantized"},
          {"quantization_status", "compressed"},
          {"version", kVersion},
          {"global_compression_ratio", nullptr},
          {"kv_cache_scheme", nullptr},
          {"sparsity_config", OrderedJson::object()},
          {"transform_config", OrderedJson::object()},
          {"ignore", target_patterns(modules.floats, modules.quantized, *input.model)},
          {"config_groups", groups_json(modules, *input.model)}};
}

}  // namespace

DType weight_dtype(const Checkpoint& source, const ModelSpec& model) {
  const OfficialNames names = names_in(source, model);
  for (const BlockSpec& block : model.blocks)
    for (const LinearSpec& linear : block.linears)
      if (block.quantizable && source.has(names.of(linear.weight.name)))
        return source.get(names.of(linear.weight.name)).dtype;
  return DType::f32;
}

std::vector<std::string> compressed_tensors_refuses(const FormatQuestion& question) {
  const OfficialNames names = names_in(*question.source, *question.model);
  const DType dtype = weight_dtype(*question.source, *question.model);
  Reasons reasons;
  bool any = false;
  for (const BlockSpec& spec : question.model->blocks) {
    const StoredBlock block = question.block(spec);
    for (const auto& [name, linear] : block.linears) any = any || linear.quantized;
    for (const Matrix& matrix : matrices_of(spec, names))
      reasons.add(matrix.module, why_not(matrix, block, dtype));
    for (const ParamSpec& param : spec.params)
      if (block.embeddings.contains(param.name))
        reasons.add(module_of(names.of(param)),
                    "has embeddings in 8 bits, where engines look for floats (schemes.embed=float)");
    for (const NormSpec& norm : spec.norms)
      if (const auto it = block.norms.find(norm.name); it != block.norms.end())
        reasons.add(module_of(names.of(norm.weight.name)), why_not(norm, it->second));
  }
  if (!any) reasons.add("the model", "has nothing that is quantized");
  return reasons.lines();
}

void write_compressed_tensors(const ExportInput& input, const std::filesystem::path& directory) {
  const Dialect dialect{.ours = false, .scale_dtype = weight_dtype(*input.source, *input.model)};
  write_files(input, *format_named("compressed-tensors"), dialect, config_of(input), directory);
}

}  // namespace mquant
