// Memory of weights once they are loaded, from headers.
//
// Counted: float tensors with four bytes a value, two where embeddings and the weight that makes
// logits stay bfloat16; codes in the panels of the fast executor, or a byte each; scales of rows.
// Not counted: split columns, a hundredth of the codes as a rule.
//
// While it is loaded, a block takes up to three times as much: its pages of the file, a copy of
// what is stored there, and what stays.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <utility>

#include "artifact/calibration_files.h"
#include "artifact/manifest.h"
#include "artifact/open_artifact.h"
#include "eval/load_each.h"
#include "eval/opened_model.h"
#include "kernels/packed_weight.h"
#include "model/ends.h"
#include "pipeline/estimate.h"
#include "support/checked.h"

namespace mquant {
namespace {

/// How a matrix is stored.
struct Form {
  QuantScheme scheme;
  bool bfloat16 = false;     // of a float one
  bool rotated = false;      // its input, online
  std::int64_t classes = 0;  // of tokens that its input has scales for
};

class Count {
 public:
  explicit Count(Executor executor) : fast_(executor == Executor::fast) {}

  void linear(const BlockSpec& spec, const LinearSpec& linear, const Form& form) {
    if (linear.bias) bytes_ += linear.out * kFloat;
    if (form.scheme.weight_bits == 16) {
      const bool compact = fast_ && form.bfloat16 && makes_logits(spec, linear.name) && !form.rotated &&
                           form.scheme.is_float();
      bytes_ += linear.out * linear.in * (compact ? 2 : kFloat);
    } else if (fast_ && form.scheme.activation_bits == 8) {
      const auto padded = [](std::int64_t n, std::int64_t run) { return (n + run - 1) / run * run; };
      bytes_ +=
          padded(linear.out, kPanelOutputs) * padded(linear.in, kGroupInputs) * form.scheme.weight_bits / 8 +
          linear.out * (1 + form.classes) * static_cast<std::int64_t>(sizeof(double));
    } else {
      bytes_ += linear.out * (linear.in + kFloat);
    }
  }
  void norm(const NormSpec& norm) {
    bytes_ += norm.width * kFloat * ((norm.weight ? 1 : 0) + (norm.bias ? 1 : 0));
  }
  void param(const BlockSpec& spec, const ParamSpec& param, const Form& form) {
    const bool table = is_embedding(spec, param.name);
    if (table && form.scheme.weight_bits < 16)
      bytes_ += param.shape[0] * (param.shape[1] + kFloat);
    else
      bytes_ += checked_product(param.shape) * (fast_ && table && form.bfloat16 ? 2 : kFloat);
  }

  /// Since the last call: what one block takes.
  std::int64_t take() { return std::exchange(bytes_, 0); }

 private:
  static constexpr std::int64_t kFloat = 4;
  bool fast_;
  std::int64_t bytes_ = 0;
};

std::int64_t count_of(const ClassScales& scales) {
  return std::ranges::count_if(scales.scale, [](const auto& scale) { return scale.has_value(); });
}

Form form_of(const StoredLinear& linear) {
  return {linear.quantized ? linear.quantized->scheme : QuantScheme(), linear.weight.dtype == DType::bf16,
          static_cast<bool>(linear.rotation),
          linear.quantized ? count_of(linear.quantized->input_scales) : 0};
}

std::vector<std::int64_t> of_calibration(const CalibrationStore& store, const ModelSpec& model,
                                         Executor executor) {
  Count count(executor);
  std::vector<std::int64_t> bytes;
  for (const BlockSpec& spec : model.blocks) {
    StoredBlock block = read_calibrated(store, spec.name, Detail::outline);
    for (const LinearSpec& linear : spec.linears)
      count.linear(spec, linear, form_of(block.linears[linear.name]));
    for (const NormSpec& norm : spec.norms) count.norm(norm);
    for (const ParamSpec& param : spec.params) {
      const bool coded = block.embeddings.contains(param.name);
      count.param(spec, param,
                  coded ? form_of(block.embeddings[param.name])
                        : Form{{}, block.params[param.name].dtype == DType::bf16, false});
    }
    bytes.push_back(count.take());
  }
  return bytes;
}

/// Of the matrix whose codes or floats hang on `module`; `tensor` is the name of its floats.
Form form_of(const Json& entries, const std::string& module, const std::string& tensor,
             const Checkpoint& tensors) {
  Form form{{}, tensors.has(tensor) && tensors.header(tensor).dtype == dtype_name(DType::bf16)};
  const Fields all(entries, kManifestFile);
  if (!all.has(module)) return form;
  const Fields entry = all.object(module);
  form.scheme = {static_cast<int>(entry.integer("weight_bits", 4, 16)),
                 static_cast<int>(entry.integer("activation_bits", 8, 16))};
  form.rotated = entry.has("rotation");
  if (form.scheme.activation_bits != 16)
    form.classes = count_of(class_scales_from(entry.object("input_scales")));
  return form;
}

std::vector<std::int64_t> of_artifact(const std::filesystem::path& path, const ModelSpec& model,
                                      Executor executor) {
  const OpenArtifact artifact(path, model);
  const Json none = Json::object(), &manifest = artifact.manifest();
  const Json& tables = manifest.contains("embeddings") ? manifest["embeddings"] : none;
  const std::vector<std::string> modules = artifact.embedding_modules();
  auto table = modules.begin();
  Count count(executor);
  std::vector<std::int64_t> bytes;
  for (const BlockSpec& spec : artifact.model().blocks) {
    for (const Matrix& matrix : artifact.matrices(spec)) {
      const std::string& held = artifact.tensors().has(matrix.tensor) ? matrix.tensor : matrix.tied_to;
      const Form form = form_of(manifest["linears"], matrix.module, held, artifact.tensors());
      for (const LinearSpec* part : matrix.parts) count.linear(spec, *part, form);
    }
    for (const NormSpec& norm : spec.norms) count.norm(norm);
    for (const ParamSpec& param : spec.params) {
      if (is_embedding(spec, param.name)) {
        count.param(spec, param, form_of(tables, *table, *table + ".weight", artifact.tensors()));
        ++table;
      } else {
        count.param(spec, param, {});
      }
    }
    bytes.push_back(count.take());
  }
  return bytes;
}

}  // namespace

std::vector<std::int64_t> OpenedModel::block_bytes(Executor executor) const {
  const ModelSpec& model = *facts.spec;
  if (const auto* store = std::get_if<CalibrationStore>(&weights))
    return of_calibration(*store, model, executor);
  if (std::holds_alternative<Artifact>(weights)) return of_artifact(facts.path, model, executor);
  std::vector<std::int64_t> bytes;  // a checkpoint runs in float32
  for (const BlockSpec& spec : model.blocks)
    bytes.push_back(parameters_of(spec) * static_cast<std::int64_t>(sizeof(float)));
  return bytes;
}

std::int64_t OpenedModel::weight_bytes(Executor executor) const {
  const std::vector<std::int64_t> bytes = block_bytes(executor);
  return std::accumulate(bytes.begin(), bytes.end(), std::int64_t{0});
}

std::int64_t OpenedModel::loading_bytes(Executor executor) const {
  const std::vector<std::int64_t> bytes = block_bytes(executor);
  std::vector<std::int64_t> parameters;
  for (const BlockSpec& spec : facts.spec->blocks) parameters.push_back(parameters_of(spec));
  // A checkpoint is not copied, and its pages are half of what stays.
  const double beside = std::holds_alternative<SourceModel>(weights) ? 0.5 : 2;
  std::int64_t held = 0, most = 0;
  for (const std::size_t i : largest_first(parameters)) {
    held += bytes[i];
    most = std::max(most, held + static_cast<std::int64_t>(beside * static_cast<double>(bytes[i])));
  }
  return most;
}

}  // namespace mquant
