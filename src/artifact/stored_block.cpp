#include "artifact/stored_block.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "artifact/check_linear.h"
#include "artifact/kv_scales.h"
#include "artifact/tensor_data.h"
#include "io/safetensors.h"
#include "mquant/error.h"
#include "support/atomic_file.h"
#include "support/sha256.h"

namespace mquant {
namespace {

constexpr std::int64_t kLargest = std::numeric_limits<std::int64_t>::max();

// ---- record ----

OrderedJson split_json(const SplitColumns& split) {
  OrderedJson json = {{"channels", split.channels}, {"quantized", split.quantized}};
  if (!split.quantized) return json;
  json["input_scales"] = OrderedJson::array();
  for (const ClassScales& scales : split.input_scales)
    json["input_scales"].push_back(class_scales_json(scales));
  return json;
}

OrderedJson linear_json(const StoredLinear& linear) {
  OrderedJson json = OrderedJson::object();
  if (linear.quantized) {
    const QuantizedLinear& q = *linear.quantized;
    json["out"] = q.out;
    json["in"] = q.in;
    json["weight_bits"] = q.scheme.weight_bits;
    json["activation_bits"] = q.scheme.activation_bits;
    json["input_scales"] = class_scales_json(q.input_scales);
    if (!q.split.empty()) json["split"] = split_json(q.split);
  }
  if (linear.rotation) json["rotation"] = {{"size", linear.rotation.size}, {"block", linear.rotation.block}};
  return json;
}

OrderedJson record_json(const StoredBlock& block) {
  OrderedJson json = {{"name", block.name}};
  for (const char* part : {"linears", "norms", "figures"}) json[part] = OrderedJson::object();
  for (const auto& [name, linear] : block.linears) json["linears"][name] = linear_json(linear);
  for (const auto& [name, norm] : block.norms)
    json["norms"][name] = {{"kind", norm_kind_name(norm.kind)}, {"eps", norm.eps}};
  json["params"] = OrderedJson::array();
  for (const auto& [name, param] : block.params) json["params"].push_back(name);
  for (const auto& [figure, value] : block.self_check) json["self_check"][figure] = number_json(value);
  for (const auto& [name, table] : block.embeddings) json["embeddings"][name] = linear_json(table);
  if (block.kv_scales) json["kv_cache"] = kv_scales_json(*block.kv_scales);
  for (const auto& [linear, figures] : block.figures) {
    json["figures"][linear] = OrderedJson::object();
    for (const auto& [figure, value] : figures) json["figures"][linear][figure] = number_json(value);
  }
  return json;
}

// ---- shard ----

/// Tensors by name; those made here live as long as this does.
class Shard {
 public:
  void add(const std::string& name, const TensorData& data) {
    if (data) views_.emplace(name, view_of(data));
  }
  void add_made(const std::string& name, TensorData data) {
    if (data) views_.emplace(name, view_of(made_.emplace(name, std::move(data)).first->second));
  }
  std::string write(const std::filesystem::path& path) const { return write_safetensors(path, views_); }

 private:
  std::map<std::string, TensorData> made_;
  std::map<std::string, TensorView> views_;
};

void add_linear(Shard& shard, const std::string& prefix, const StoredLinear& linear) {
  shard.add(prefix + "weight", linear.weight);
  shard.add(prefix + "bias", linear.bias);
  const auto& signs = linear.rotation.signs;
  shard.add_made(prefix + "rotation_signs", i8_tensor(signs, {static_cast<std::int64_t>(signs.size())}));
  if (!linear.quantized) return;
  const QuantizedLinear& q = *linear.quantized;
  if (!q.codes.empty()) {
    shard.add_made(prefix + "codes", i8_tensor(q.codes, {q.out, q.in}));
    shard.add_made(prefix + "weight_scale", float_tensor(q.weight_scale, {q.out}));
  }
  const auto k = static_cast<std::int64_t>(q.split.channels.size());
  if (k == 0) return;
  if (q.split.quantized) {
    shard.add_made(prefix + "split_codes", i8_tensor(q.split.codes, {k, q.out}));
    shard.add_made(prefix + "split_weight_scale", float_tensor(q.split.weight_scale, {k}));
  } else {
    shard.add_made(prefix + "split_values", float_tensor(q.split.values, {k, q.out}));
  }
}

// ---- reading ----

class Reader {
 public:
  Reader(const std::filesystem::path& shard, Detail detail)
      : file_(shard), path_(shard.string()), detail_(detail) {}

  bool has(const std::string& name) const { return file_.has(name); }
  /// A tensor of any dtype; empty if it is not there.
  TensorData small(const std::string& name) {
    if (!file_.has(name)) return {};
    ++read_;
    return copy_of(file_.get(name));
  }
  TensorData large(const std::string& name) {
    if (detail_ == Detail::whole || !file_.has(name)) return small(name);
    ++read_;
    const TensorView view = file_.get(name);
    return {view.dtype, view.shape, {}};
  }

  std::vector<std::int8_t> codes(const std::string& name, const std::vector<std::int64_t>& shape) {
    const TensorView view = checked(name, DType::i8, shape);
    return detail_ == Detail::whole ? i8_values(view) : std::vector<std::int8_t>{};
  }
  std::vector<std::int8_t> signs(const std::string& name, std::int64_t size) {
    return file_.has(name) ? i8_values(checked(name, DType::i8, {size})) : std::vector<std::int8_t>{};
  }
  std::vector<float> floats(const std::string& name, const std::vector<std::int64_t>& shape) {
    return f32_values(checked(name, DType::f32, shape));
  }
  /// @throws Error{input} if the shard holds a tensor that nobody asked for.
  void expect_all_read() const {
    if (file_.names().size() != read_)
      fail(ErrorKind::input, path_, ": expected ", read_, " tensors, found ", file_.names().size());
  }
  Detail detail() const { return detail_; }

 private:
  TensorView checked(const std::string& name, DType dtype, const std::vector<std::int64_t>& shape) {
    TensorView view = file_.get(name);
    expect_tensor(view, dtype, shape, cat(path_, ": tensor '", name, "'"));
    ++read_;
    return view;
  }

  SafetensorsFile file_;
  std::string path_;
  Detail detail_;
  std::size_t read_ = 0;
};

SplitColumns read_split(Reader& reader, const std::string& prefix, const Fields& json, std::int64_t out) {
  SplitColumns split;
  split.channels = json.integers("channels");
  split.quantized = json.boolean("quantized");
  const auto k = static_cast<std::int64_t>(split.channels.size());
  if (!split.quantized) {
    split.values = reader.floats(prefix + "split_values", {k, out});
    return split;
  }
  split.codes = reader.codes(prefix + "split_codes", {k, out});
  split.weight_scale = reader.floats(prefix + "split_weight_scale", {k});
  const Json& scales = json.at("input_scales");
  if (!scales.is_array()) fail(ErrorKind::input, json.where(), ": 'input_scales': expected a list");
  for (const Json& scale : scales)
    split.input_scales.push_back(class_scales_from(Fields(scale, json.where())));
  return split;
}

StoredLinear read_linear(Reader& reader, const std::string& prefix, const Fields& json) {
  StoredLinear linear;
  linear.weight = reader.large(prefix + "weight");
  linear.bias = reader.small(prefix + "bias");
  if (json.has("rotation")) {
    const Fields rotation = json.object("rotation");
    linear.rotation.size = rotation.integer("size", 1, kLargest);
    linear.rotation.block = rotation.integer("block", 1, kLargest);
    linear.rotation.signs = reader.signs(prefix + "rotation_signs", linear.rotation.size);
  }
  if (json.has("out")) {
    QuantizedLinear& q = linear.quantized.emplace();
    q.out = json.integer("out", 1, kLargest);
    q.in = json.integer("in", 1, kLargest);
    q.scheme.weight_bits = static_cast<int>(json.integer("weight_bits", 4, 16));
    q.scheme.activation_bits = static_cast<int>(json.integer("activation_bits", 8, 16));
    q.input_scales = class_scales_from(json.object("input_scales"));
    if (q.scheme.weight_bits != 16) {
      q.codes = reader.codes(prefix + "codes", {q.out, q.in});
      q.weight_scale = reader.floats(prefix + "weight_scale", {q.out});
    }
    if (json.has("split")) q.split = read_split(reader, prefix, json.object("split"), q.out);
  }
  if (reader.detail() == Detail::whole) check_linear(linear, json.where(), ErrorKind::input);
  return linear;
}

StoredNorm read_norm(Reader& reader, const std::string& prefix, const Fields& json) {
  StoredNorm norm;
  const std::string kind = json.text("kind");
  if (kind != "rms" && kind != "layer")
    fail(ErrorKind::input, json.where(), ": 'kind': expected \"rms\" or \"layer\", found \"", printable(kind),
         '"');
  norm.kind = kind == "rms" ? NormKind::rms : NormKind::layer;
  norm.eps = json.number("eps");
  norm.scale = reader.small(prefix + "scale");
  norm.shift = reader.small(prefix + "shift");
  if (reader.detail() == Detail::whole) check_norm(norm, json.where(), ErrorKind::input);
  return norm;
}

}  // namespace

std::string_view norm_kind_name(NormKind kind) { return kind == NormKind::rms ? "rms" : "layer"; }

OrderedJson class_scales_json(const ClassScales& scales) {
  OrderedJson json = OrderedJson::object();
  for (int c = 0; c < kTokenClasses; ++c) {
    const auto token_class = static_cast<TokenClass>(c);
    const std::optional<float>& scale = scales.of(token_class);
    json[std::string(token_class_name(token_class))] = scale ? OrderedJson(double{*scale}) : OrderedJson();
  }
  return json;
}

ClassScales class_scales_from(const Fields& fields) {
  ClassScales scales;
  for (int c = 0; c < kTokenClasses; ++c) {
    const std::string name(token_class_name(static_cast<TokenClass>(c)));
    if (fields.at(name).is_null()) continue;
    const double value = fields.number(name);
    scales.scale[static_cast<std::size_t>(c)] = static_cast<float>(value);
    if (!std::isfinite(value) || static_cast<double>(static_cast<float>(value)) != value || value <= 0)
      fail(ErrorKind::input, fields.where(), ": '", name, "': expected a positive float32, found ", value);
  }
  return scales;
}

BlockDigests write_stored_block(const StoredBlock& block, const std::filesystem::path& shard_path,
                                const std::filesystem::path& record_path) {
  Shard shard;
  for (const auto& [name, linear] : block.linears) {
    check_linear(linear, cat("block '", block.name, "': linear '", name, "'"), ErrorKind::internal);
    add_linear(shard, cat("linear.", name, "."), linear);
  }
  for (const auto& [name, norm] : block.norms) {
    check_norm(norm, cat("block '", block.name, "': norm '", name, "'"), ErrorKind::internal);
    shard.add(cat("norm.", name, ".scale"), norm.scale);
    shard.add(cat("norm.", name, ".shift"), norm.shift);
  }
  for (const auto& [name, param] : block.params) {
    require(static_cast<bool>(param), "block '", block.name, "': parameter '", name, "' is empty");
    shard.add(cat("param.", name), param);
  }
  for (const auto& [name, table] : block.embeddings) {
    check_embedding(table, cat("block '", block.name, "': parameter '", name, "'"), ErrorKind::internal);
    require(!block.params.contains(name), "block '", block.name, "': parameter '", name,
            "' is both codes and floats");
    add_linear(shard, cat("embedding.", name, "."), table);
  }
  if (block.kv_scales)
    check_kv_scales(*block.kv_scales, cat("block '", block.name, "': kv_cache"), ErrorKind::internal);
  const std::string record = record_json(block).dump(1) + "\n";
  BlockDigests digests{shard.write(shard_path), sha256_hex(record)};
  write_file_atomically(record_path, record);
  return digests;
}

StoredBlock read_stored_block(const std::filesystem::path& shard, const std::filesystem::path& record,
                              Detail detail) {
  const Json json = read_json(record);
  const Fields fields(json, record.string());
  Reader reader(shard, detail);
  StoredBlock block;
  block.name = fields.text("name");
  const Fields linears = fields.object("linears"), norms = fields.object("norms"),
               figures = fields.object("figures");
  for (const auto& [name, value] : linears.json().items())
    block.linears[name] = read_linear(reader, cat("linear.", name, "."), linears.object(name));
  for (const auto& [name, value] : norms.json().items())
    block.norms[name] = read_norm(reader, cat("norm.", name, "."), norms.object(name));
  for (const std::string& name : fields.texts("params")) {
    if (!reader.has(cat("param.", name)))
      fail(ErrorKind::input, shard.string(), ": no parameter '", printable(name), "'");
    block.params[name] = reader.large(cat("param.", name));
  }
  if (fields.has("embeddings")) {
    const Fields tables = fields.object("embeddings");
    for (const auto& [name, value] : tables.json().items()) {
      const Fields entry = tables.object(name);
      block.embeddings[name] = read_linear(reader, cat("embedding.", name, "."), entry);
      if (detail == Detail::whole) check_embedding(block.embeddings[name], entry.where(), ErrorKind::input);
      if (block.params.contains(name))
        fail(ErrorKind::input, entry.where(), ": '", printable(name), "' is both codes and floats");
    }
  }
  if (fields.has("kv_cache")) block.kv_scales = kv_scales_from(fields.object("kv_cache"));
  for (const auto& [linear, value] : figures.json().items()) {
    const Fields values = figures.object(linear);
    for (const auto& [figure, number] : values.json().items())
      block.figures[linear][figure] = values.number(figure);
  }
  if (fields.has("self_check")) {
    const Fields checked = fields.object("self_check");
    for (const auto& [figure, number] : checked.json().items())
      block.self_check[figure] = checked.number(figure);
  }
  reader.expect_all_read();
  return block;
}

}  // namespace mquant
