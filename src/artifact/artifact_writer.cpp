#include "artifact/artifact_writer.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "artifact/check_linear.h"
#include "artifact/config_file.h"
#include "artifact/kv_scales.h"
#include "artifact/manifest.h"
#include "artifact/sidecars.h"
#include "artifact/stored_block.h"
#include "io/sharded_writer.h"
#include "mquant/error.h"
#include "mquant/log.h"
#include "support/atomic_file.h"
#include "support/sha256.h"

namespace mquant {
namespace fs = std::filesystem;
namespace {

/// Rows as runs: [[first, count], ...].
OrderedJson runs_of(const std::vector<std::int64_t>& rows) {
  OrderedJson runs = OrderedJson::array();
  for (std::size_t i = 0, begin = 0; i < rows.size(); ++i)
    if (i + 1 == rows.size() || rows[i + 1] != rows[i] + 1) {
      runs.push_back({rows[begin], static_cast<std::int64_t>(i + 1 - begin)});
      begin = i + 1;
    }
  return runs;
}

std::string digest_of(const TensorData& data) {
  return cat(dtype_name(data.dtype), sha256_hex(std::span<const std::byte>(data.bytes)));
}

/// Of the weight alone: two matrices with the same one may share its tensors.
std::string digest_of(const StoredLinear& linear) {
  if (!linear.quantized || linear.quantized->scheme.weight_bits == 16) return digest_of(linear.weight);
  const QuantizedLinear& q = *linear.quantized;
  return cat("codes of ", q.scheme.weight_bits, " bits ", sha256_hex(std::as_bytes(std::span(q.codes))), " ",
             sha256_hex(std::as_bytes(std::span(q.weight_scale))));
}

std::int64_t byte_count(const std::vector<NamedTensor>& tensors) {
  std::int64_t bytes = 0;
  for (const NamedTensor& tensor : tensors) bytes += static_cast<std::int64_t>(tensor.data.bytes.size());
  return bytes;
}

class Writer {
 public:
  Writer(const ExportInput& input, const FormatInfo& format, const Dialect& dialect,
         const fs::path& directory)
      : input_(input),
        dialect_(dialect),
        directory_(directory),
        names_(names_in(*input.source, *input.model)),
        shards_(directory, input.max_shard_bytes == 0 ? kDefaultShardBytes : input.max_shard_bytes),
        manifest_(manifest_head(input, format)) {
    manifest_["linears"] = OrderedJson::object();
    manifest_["norms"] = OrderedJson::object();
    for (const BlockSpec& block : input.model->blocks)
      for (const LinearSpec& linear : block.linears)
        if (!linear.weight.otherwise.empty()) tied_.emplace(names_.of(linear.weight.otherwise), "");
  }

  void write(const OrderedJson& quantization_config) {
    edited_config(source_config(), quantization_config, "");  // what it refuses is refused before the work
    Progress progress("export", static_cast<std::int64_t>(input_.model->blocks.size()));
    for (const BlockSpec& spec : input_.model->blocks) {
      check_interrupt();
      StoredBlock block = input_.calibration->read(spec.name);
      check_block(block, spec);
      write_block(spec, std::move(block));
      progress.advance(1, spec.name);
    }
    for (const std::string& name : input_.source->names())
      if (!described_.contains(name)) add(name, input_.source->get(name));
    for (const WrittenFile& file : shards_.finish()) record_file(file.name, file.sha256);
    for (const WrittenFile& file :
         copy_sidecars(*input_.source, directory_, input_.calibration->identity().chat_template))
      record_file(file.name, file.sha256);
    write_config(quantization_config);
    write_manifest();
  }

 private:
  void add(const std::string& name, const TensorView& tensor) {
    shards_.add(name, tensor);
    ++tensors_;
  }
  void add_all(const std::vector<NamedTensor>& tensors) {
    for (const NamedTensor& tensor : tensors) add(tensor.name, view_of(tensor.data));
  }

  void write_block(const BlockSpec& spec, StoredBlock block) {
    for (const Matrix& matrix : matrices_of(spec, names_)) write_matrix(matrix, spec, block);
    for (const NormSpec& norm : spec.norms) write_norm(norm, spec, block);
    for (const ParamSpec& param : spec.params)
      if (block.embeddings.contains(param.name))
        write_embedding(param, block);
      else
        write_param(param, spec, block);
    if (!block.kv_scales) return;
    expect_sizes(*block.kv_scales, spec.attention, cat("block '", spec.name, "': kv_cache"));
    manifest_["kv_cache"][spec.name] = kv_scales_json(*block.kv_scales);
  }

  void write_matrix(const Matrix& matrix, const BlockSpec& spec, StoredBlock& block) {
    described_.insert(matrix.tensor);
    if (matrix.describes_bias) described_.insert(matrix.bias);
    for (const LinearSpec* part : matrix.parts) write_folded(*part, matrix.out);
    StoredLinear linear = join(matrix, spec, block);
    if (!linear.bias && matrix.describes_bias)  // folded away: engines expect one
      linear.bias = filled(0, {matrix.out}, dtype_in(*input_.source, matrix.bias));
    OrderedJson entry = matrix_entry(matrix, linear, dialect_);
    entry["parts"] = OrderedJson::array();
    for (const LinearSpec* part : matrix.parts) {
      OrderedJson told = {{"block", spec.name}, {"linear", part->name}};
      if (matrix.parts.size() > 1)
        told["rows"] = runs_of(fused_rows(part->weight, spec.attention, matrix.out));
      told["figures"] = figures_json(block, part->name);
      entry["parts"].push_back(std::move(told));
    }
    if (!matrix.tied_to.empty() && is_still_tied(matrix, linear)) {
      entry["tied_to"] = matrix.tied_to;  // its weight is stored once, under the other name
      if (linear.bias) add(matrix.bias, view_of(linear.bias));
    } else {
      untied_ = untied_ || !matrix.tied_to.empty();
      add_matrix(matrix, std::move(linear));
    }
    manifest_["linears"][matrix.module] = std::move(entry);
  }

  static OrderedJson figures_json(StoredBlock& block, const std::string& linear) {
    OrderedJson figures = OrderedJson::object();
    for (const auto& [figure, value] : block.figures[linear]) figures[figure] = number_json(value);
    return figures;
  }

  void add_matrix(const Matrix& matrix, StoredLinear linear) {
    const bool coded = linear.quantized && linear.quantized->scheme.weight_bits != 16;
    const std::vector<NamedTensor> tensors = encode_matrix(matrix, std::move(linear), dialect_);
    if (coded) {
      quantized_weights_ += matrix.out * matrix.in;
      weight_bytes_ += byte_count(tensors);
    }
    add_all(tensors);
  }

  /// Tensors of the source that went into this linear: a fused one is not stored again, a layer scale is all ones.
  void write_folded(const LinearSpec& part, std::int64_t out) {
    described_.insert(names_.of(part.weight.name));
    if (part.bias) described_.insert(names_.of(part.bias.name));
    if (part.weight.row_scale.empty()) return;
    const std::string name = names_.of(part.weight.row_scale);
    if (described_.insert(name).second) add(name, view_of(filled(1, {out}, dtype_in(*input_.source, name))));
  }

  /// Was the head one tensor with the embeddings in the source, and is it still the same bytes, of floats or of codes?
  bool is_still_tied(const Matrix& matrix, const StoredLinear& linear) const {
    const bool weight_alone = !linear.quantized || (linear.quantized->scheme.activation_bits == 16 &&
                                                    linear.quantized->split.empty());
    const bool plain = weight_alone && !linear.rotation && !matrix.transposed && matrix.stored_shape.empty();
    const auto it = tied_.find(matrix.tied_to);
    return plain && !input_.source->has(matrix.tensor) && it != tied_.end() &&
           it->second == digest_of(linear);
  }

  void write_embedding(const ParamSpec& spec, StoredBlock& block) {
    const Matrix matrix = embedding_matrix(spec, names_);
    StoredLinear table = std::move(block.embeddings.at(spec.name));
    described_.insert(matrix.tensor);
    if (const auto tied = tied_.find(matrix.tensor); tied != tied_.end()) tied->second = digest_of(table);
    OrderedJson entry = matrix_entry(matrix, table, dialect_);
    OrderedJson part = {{"block", block.name}, {"linear", spec.name}};
    part["figures"] = figures_json(block, spec.name);
    entry["parts"] = OrderedJson::array();
    entry["parts"].push_back(std::move(part));
    add_matrix(matrix, std::move(table));
    manifest_["embeddings"][matrix.module] = std::move(entry);
  }

  void write_norm(const NormSpec& spec, const BlockSpec& block_spec, const StoredBlock& block) {
    const auto it = block.norms.find(spec.name);
    if (it == block.norms.end())
      fail(ErrorKind::input, "block '", block_spec.name, "': no norm '", spec.name, "' is stored");
    const NormNames names{
        .weight = spec.weight ? names_.of(spec.weight.name) : "",
        .bias = spec.bias ? names_.of(spec.bias.name) : "",
        .dtype = spec.weight ? dtype_in(*input_.source, names_.of(spec.weight.name)) : DType::f32,
        .bias_dtype = spec.bias ? dtype_in(*input_.source, names_.of(spec.bias.name)) : DType::f32};
    for (const std::string& name : {names.weight, names.bias}) described_.insert(name);
    add_all(encode_norm(spec, it->second, names));
    if (it->second.kind != spec.kind || it->second.eps != spec.eps)
      manifest_["norms"][module_of(names.weight)] = {{"kind", norm_kind_name(it->second.kind)},
                                                     {"eps", it->second.eps}};
  }

  void write_param(const ParamSpec& spec, const BlockSpec& block_spec, const StoredBlock& block) {
    const auto it = block.params.find(spec.name);
    if (it == block.params.end() && spec.source.optional) return;
    if (it == block.params.end() || it->second.shape != spec.shape)
      fail(ErrorKind::input, "block '", block_spec.name, "': parameter '", spec.name,
           "' is not stored with the shape that config.json gives it");
    const std::string name = names_.of(spec);
    described_.insert(name);
    if (const auto tied = tied_.find(name); tied != tied_.end()) tied->second = digest_of(it->second);
    TensorView view = view_of(it->second);
    if (!spec.source.stored_shape.empty()) view.shape = spec.source.stored_shape;
    add(name, view);
  }

  fs::path source_config() const { return input_.source->directory() / "config.json"; }

  void write_config(const OrderedJson& quantization_config) {
    const std::string text =
        edited_config(source_config(), quantization_config, untied_ ? input_.model->tied_key : "");
    write_file_atomically(directory_ / "config.json", text);
    record_file("config.json", sha256_hex(text));
  }

  void record_file(const std::string& name, const std::string& sha256) {
    const auto bytes = static_cast<std::int64_t>(fs::file_size(directory_ / name));
    require(files_.emplace(name, OrderedJson{{"sha256", sha256}, {"bytes", bytes}}).second, "'", name,
            "' is written twice");
    artifact_bytes_ += bytes;
  }

  void write_manifest() {
    std::int64_t source_bytes = 0;
    for (const fs::path& file : input_.source->files())
      source_bytes += static_cast<std::int64_t>(fs::file_size(file));
    manifest_["files"] = files_;
    manifest_["totals"] = {
        {"tensors", tensors_},
        {"files", files_.size()},
        {"source_bytes", source_bytes},
        {"artifact_bytes", artifact_bytes_},
        {"quantized_weights", quantized_weights_},
        {"weight_bytes", weight_bytes_},
        {"bits_per_weight", quantized_weights_ == 0 ? 0.0
                                                    : 8.0 * static_cast<double>(weight_bytes_) /
                                                          static_cast<double>(quantized_weights_)}};
    write_file_atomically(directory_ / kManifestFile, sealed(std::move(manifest_)));
  }

  const ExportInput& input_;
  const Dialect& dialect_;
  const fs::path& directory_;
  OfficialNames names_;
  ShardedWriter shards_;
  OrderedJson manifest_;
  std::set<std::string> described_;  // source tensors that blocks account for
  std::map<std::string, std::string>
      tied_;  // tensors that heads may be tied to, and the digest of what they became
  std::map<std::string, OrderedJson> files_;
  bool untied_ = false;
  std::int64_t tensors_ = 0, artifact_bytes_ = 0, quantized_weights_ = 0, weight_bytes_ = 0;
};

}  // namespace

void write_files(const ExportInput& input, const FormatInfo& format, const Dialect& dialect,
                 const OrderedJson& quantization_config, const fs::path& directory) {
  Writer(input, format, dialect, directory).write(quantization_config);
}

OfficialNames names_in(const Checkpoint& source, const ModelSpec& model) {
  return OfficialNames(model, [&source](const std::string& name) { return source.has(name); });
}

DType dtype_in(const Checkpoint& source, const std::string& name) {
  return source.has(name) ? source.get(name).dtype : DType::f32;
}

}  // namespace mquant
