#include "artifact/open_artifact.h"

#include <nlohmann/json.hpp>

#include "artifact/check_linear.h"
#include "artifact/formats.h"
#include "artifact/kv_scales.h"
#include "artifact/manifest.h"
#include "model/ends.h"
#include "mquant/error.h"
#include "support/strings.h"

namespace mquant {
namespace {

/// Is there a tensor of that name, plain or quantized?
bool holds(const Checkpoint& tensors, const std::string& name) {
  return tensors.has(name) || tensors.has(module_of(name) + ".weight_packed");
}

/// As the manifest names it; every matrix of one artifact has the same.
DType scale_dtype(const Json& manifest) {
  for (const auto& [name, entry] : manifest["linears"].items()) {
    if (!entry.contains("weight_scale_dtype")) continue;
    for (const DType dtype : {DType::f32, DType::bf16, DType::f16, DType::f64})
      if (entry["weight_scale_dtype"] == dtype_name(dtype)) return dtype;
    fail(ErrorKind::input, kManifestFile, ": '", printable(name),
         "': 'weight_scale_dtype': ", describe(entry["weight_scale_dtype"]), " is no float type");
  }
  return DType::f32;
}

}  // namespace

OpenArtifact::OpenArtifact(const std::filesystem::path& directory, const ModelSpec& model)
    : model_(model),
      directory_(directory),
      manifest_(std::make_shared<const Json>(read_manifest(directory))),
      tensors_(Checkpoint::open(directory)),
      names_(model_, [this](const std::string& name) { return holds(tensors_, name); }) {
  dialect_.ours = (*manifest_)["format"]["name"] == "mquant";
  dialect_.scale_dtype = scale_dtype(*manifest_);
  if ((*manifest_)["source"]["family"] != model.family)
    fail(ErrorKind::input, directory.string(), ": an artifact of the family ",
         describe((*manifest_)["source"]["family"]), ", read as \"", model.family, '"');
}

const BlockSpec& OpenArtifact::block(const std::string& name) const {
  std::vector<std::string> names;
  for (const BlockSpec& spec : model_.blocks) {
    if (spec.name == name) return spec;
    names.push_back(spec.name);
  }
  fail(ErrorKind::usage, "no block '", name, "'", did_you_mean(name, names));
}

void OpenArtifact::read_matrix(const Matrix& matrix, const BlockSpec& spec, StoredBlock& block) const {
  const Fields linears((*manifest_)["linears"], kManifestFile);
  if (!linears.has(matrix.module))
    fail(ErrorKind::input, directory_.string(), ": ", kManifestFile, " has no linear '", matrix.module, "'");
  const Fields entry = linears.object(matrix.module);
  in_context(directory_.string(),
             [&] { separate(matrix, spec, decode_matrix(tensors_, matrix, entry, dialect_), block); });
  read_figures(entry, block);
}

void OpenArtifact::read_figures(const Fields& entry, StoredBlock& block) {
  for (const Json& part : entry.at("parts")) {
    const Fields fields(part, entry.where());
    const Fields figures = fields.object("figures");
    const std::string linear = fields.text("linear");
    for (const auto& [figure, value] : figures.json().items())
      block.figures[linear][figure] = figures.number(figure);
  }
}

NormNames OpenArtifact::names_of(const NormSpec& norm) const {
  return {norm.weight ? names_.of(norm.weight.name) : "", norm.bias ? names_.of(norm.bias.name) : "",
          DType::f32};
}

void OpenArtifact::read_norm(const NormSpec& norm, StoredBlock& block) const {
  const NormNames names = names_of(norm);
  const Json& norms = (*manifest_)["norms"];
  const auto entry = norms.find(module_of(names.weight));
  block.norms[norm.name] = in_context(directory_.string(), [&] {
    return decode_norm(tensors_, norm, names, entry == norms.end() ? Json() : *entry);
  });
}

void OpenArtifact::read_param(const ParamSpec& param, const BlockSpec& spec, StoredBlock& block) const {
  const std::string name = names_.of(param);
  if (is_embedding(spec, param.name) && manifest_->contains("embeddings") &&
      (*manifest_)["embeddings"].contains(module_of(name)))
    return read_embedding(embedding_matrix(param, names_), param, block);
  if (param.source.optional && !tensors_.has(name)) return;
  const TensorView view = tensors_.get(name);
  const std::vector<std::int64_t>& shape =
      param.source.stored_shape.empty() ? param.shape : param.source.stored_shape;
  expect_tensor(view, view.dtype, shape, cat(directory_.string(), ": tensor '", name, "'"));
  if (!is_float(view.dtype) || !all_finite(view))
    fail(ErrorKind::input, directory_.string(), ": tensor '", name, "': expected finite numbers");
  block.params[param.name] = copy_of(view);
  block.params[param.name].shape = param.shape;
}

void OpenArtifact::read_embedding(const Matrix& matrix, const ParamSpec& param, StoredBlock& block) const {
  in_context(directory_.string(), [&] {
    const Fields entry =
        Fields((*manifest_)["embeddings"], cat(kManifestFile, ": embeddings")).object(matrix.module);
    StoredLinear table = decode_matrix(tensors_, matrix, entry, dialect_);
    check_embedding(table, cat("'", matrix.tensor, "'"), ErrorKind::input);
    for (const Json& part : entry.at("parts"))
      if (const std::string name = Fields(part, entry.where()).text("linear"); name != param.name)
        fail(ErrorKind::input, entry.where(), ": expected the part '", param.name, "', found '",
             printable(name), "'");
    read_figures(entry, block);
    block.embeddings[param.name] = std::move(table);
  });
}

std::vector<std::string> OpenArtifact::embedding_modules() const {
  std::vector<std::string> modules;
  for (const BlockSpec& spec : model_.blocks)
    for (const ParamSpec& param : spec.params)
      if (is_embedding(spec, param.name)) modules.push_back(module_of(names_.of(param)));
  return modules;
}

void OpenArtifact::read_kv_scales(const BlockSpec& spec, StoredBlock& block) const {
  if (!spec.has_kv_cache() || !manifest_->contains("kv_cache")) return;
  in_context(directory_.string(), [&] {
    const Fields blocks((*manifest_)["kv_cache"], cat(kManifestFile, ": kv_cache"));
    const Fields entry = blocks.object(spec.name);  // all blocks with a cache, or none
    block.kv_scales = kv_scales_from(entry);
    expect_sizes(*block.kv_scales, spec.attention, entry.where());
  });
}

}  // namespace mquant
