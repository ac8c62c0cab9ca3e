#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "artifact/check_linear.h"
#include "artifact/coding.h"
#include "artifact/stored_block.h"
#include "io/convert.h"
#include "kernels/hadamard.h"
#include "kernels/pack_int4.h"
#include "mquant/error.h"
#include "support/sha256.h"

namespace mquant {
namespace {

/// [kTokenClasses] in the order of TokenClass; a class without a scale is NaN, so that its use shows at once.
std::vector<float> class_row(const ClassScales& scales) {
  std::vector<float> row;
  for (const std::optional<float>& scale : scales.scale)
    row.push_back(scale.value_or(std::numeric_limits<float>::quiet_NaN()));
  return row;
}

class Tensors {
 public:
  explicit Tensors(std::string module) : module_(std::move(module)) {}
  void add(const char* ending, TensorData data) {
    all_.push_back({cat(module_, ".", ending), std::move(data)});
  }
  void add_named(std::string name, TensorData data) { all_.push_back({std::move(name), std::move(data)}); }
  std::vector<NamedTensor> take() { return std::move(all_); }

 private:
  std::string module_;
  std::vector<NamedTensor> all_;
};

/// I32 [out, words]: compressed-tensors' pack-quantized layout.
TensorData packed(const QuantizedLinear& q) {
  const std::int64_t words = packed_words(q.in, q.scheme.weight_bits);
  std::vector<std::int32_t> packed(static_cast<std::size_t>(q.out * words));
  pack_codes(q.codes, q.out, q.in, q.scheme.weight_bits, packed);
  return i32_tensor(packed, {q.out, words});
}

void add_codes(Tensors& tensors, const QuantizedLinear& q, const Dialect& dialect) {
  const DType scale_dtype = dialect.ours ? DType::f32 : dialect.scale_dtype;
  tensors.add("weight_packed", packed(q));
  tensors.add("weight_scale", float_tensor(q.weight_scale, {q.out, 1}, scale_dtype));
  tensors.add("weight_shape", i64_tensor(std::vector<std::int64_t>{q.out, q.in}, {2}));
}

void add_input_scales(Tensors& tensors, const QuantizedLinear& q, const Dialect& dialect) {
  if (q.scheme.activation_bits == 16) return;
  if (const std::optional<float> most = largest(q.input_scales)) {
    const DType dtype = dialect.ours ? DType::f32 : dialect.scale_dtype;
    tensors.add("input_scale", float_tensor(std::vector<float>{rounded_up(*most, dtype)}, {1}, dtype));
  }
  if (dialect.ours)
    tensors.add("input_scale_by_class", float_tensor(class_row(q.input_scales), {kTokenClasses}));
}

void add_split(Tensors& tensors, const SplitColumns& split, std::int64_t out) {
  if (split.empty()) return;
  const auto k = static_cast<std::int64_t>(split.channels.size());
  tensors.add("split_channels", i64_tensor(split.channels, {k}));
  if (!split.quantized) {
    tensors.add("split_weight", float_tensor(split.values, {k, out}));
    return;
  }
  tensors.add("split_weight", i8_tensor(split.codes, {k, out}));
  tensors.add("split_weight_scale", float_tensor(split.weight_scale, {k}));
  if (split.input_scales.empty()) return;  // float activations
  std::vector<float> scales;
  for (const ClassScales& of_channel : split.input_scales) {
    const std::vector<float> row = class_row(of_channel);
    scales.insert(scales.end(), row.begin(), row.end());
  }
  tensors.add("split_input_scale", float_tensor(scales, {k, kTokenClasses}));
}

/// [out, in] as the checkpoint has it: [in, out], or the shape of a convolution kernel.
TensorData in_stored_shape(const Matrix& matrix, TensorData weight) {
  if (matrix.transposed) return transposed(weight);
  if (!matrix.stored_shape.empty()) weight.shape = matrix.stored_shape;
  return weight;
}

OrderedJson split_entry(const SplitColumns& split) {
  if (split.empty()) return nullptr;
  OrderedJson entry = {{"channels", split.channels}, {"quantized", split.quantized}};
  if (!split.quantized) return entry;
  entry["input_scales"] = OrderedJson::array();
  for (const ClassScales& scales : split.input_scales)
    entry["input_scales"].push_back(class_scales_json(scales));
  return entry;
}

OrderedJson rotation_entry(const OnlineRotation& rotation) {
  if (!rotation) return nullptr;
  const HadamardPlan plan = plan_hadamard(rotation.size, rotation.block);
  OrderedJson entry = {{"size", rotation.size},
                       {"block", rotation.block},
                       {"orders", OrderedJson::array()},
                       {"power", plan.power},
                       {"signs_sha256", nullptr}};
  for (const auto& factor : plan.factors) entry["orders"].push_back(factor->order);
  if (!rotation.signs.empty()) entry["signs_sha256"] = sha256_hex(std::as_bytes(std::span(rotation.signs)));
  return entry;
}

}  // namespace

float rounded_up(float value, DType dtype) {
  if (dtype == DType::f32 || dtype == DType::f64) return value;
  if (dtype == DType::bf16) return bfloat16_round_up(value);
  require(dtype == DType::f16, "a scale is stored as ", dtype_name(dtype));
  const std::uint16_t bits = f16_from_float(value);
  return float_from_f16(bits) < value ? float_from_f16(static_cast<std::uint16_t>(bits + 1))
                                      : float_from_f16(bits);
}

std::vector<NamedTensor> encode_matrix(const Matrix& matrix, StoredLinear linear, const Dialect& dialect) {
  check_linear(linear, matrix.out, matrix.in, matrix.tensor, ErrorKind::internal);
  Tensors tensors(matrix.module);
  const OnlineRotation& rotation = linear.rotation;
  const bool ours_only = rotation || (linear.quantized && !linear.quantized->split.empty());
  require(dialect.ours || !ours_only, "'", matrix.tensor,
          "' has a rotation or split columns: no other engine's format");
  if (linear.quantized) {
    if (linear.quantized->scheme.weight_bits != 16) add_codes(tensors, *linear.quantized, dialect);
    add_input_scales(tensors, *linear.quantized, dialect);
    add_split(tensors, linear.quantized->split, matrix.out);
  }
  if (!rotation.signs.empty())
    tensors.add("input_rotation_signs", i8_tensor(rotation.signs, {rotation.size}));
  if (linear.weight) tensors.add_named(matrix.tensor, in_stored_shape(matrix, std::move(linear.weight)));
  if (linear.bias) tensors.add_named(matrix.bias, std::move(linear.bias));
  return tensors.take();
}

OrderedJson matrix_entry(const Matrix& matrix, const StoredLinear& linear, const Dialect& dialect) {
  const QuantScheme scheme = linear.quantized ? linear.quantized->scheme : QuantScheme{};
  OrderedJson entry = {{"scheme", scheme.name()},
                       {"out", matrix.out},
                       {"in", matrix.in},
                       {"weight_bits", scheme.weight_bits},
                       {"activation_bits", scheme.activation_bits}};
  const bool coded = scheme.weight_bits != 16;
  if (coded) entry["weight_scale_dtype"] = dtype_name(dialect.ours ? DType::f32 : dialect.scale_dtype);
  if (!coded) entry["weight_dtype"] = dtype_name(linear.weight.dtype);
  entry["bias_dtype"] = linear.bias ? OrderedJson(dtype_name(linear.bias.dtype)) : OrderedJson();
  if (scheme.activation_bits != 16) {
    entry["input_scales"] = class_scales_json(linear.quantized->input_scales);
    entry["empty_classes"] = OrderedJson::array();
    for (const auto& [name, scale] : entry["input_scales"].items())
      if (scale.is_null()) entry["empty_classes"].push_back(name);
  }
  entry["rotation"] = rotation_entry(linear.rotation);
  entry["split"] = linear.quantized ? split_entry(linear.quantized->split) : OrderedJson();
  if (matrix.transposed) entry["stored"] = "[in, out]";
  if (!matrix.stored_shape.empty()) entry["stored"] = matrix.stored_shape;
  return entry;
}

std::vector<NamedTensor> encode_norm(const NormSpec& spec, const StoredNorm& norm, const NormNames& names) {
  check_norm(norm, cat("norm '", spec.name, "'"), ErrorKind::internal);
  for (const TensorData* data : {&norm.scale, &norm.shift})
    require(!*data || data->shape == std::vector{spec.width}, "norm '", spec.name, "' has not the width ",
            spec.width);
  require(!norm.scale || !names.weight.empty(), "norm '", spec.name, "' has a scale and no name for it");
  require(!norm.shift || !names.bias.empty(), "norm '", spec.name, "' has a shift and no name for it");
  std::vector<NamedTensor> tensors;
  if (!names.weight.empty()) {
    TensorData scale = norm.scale ? norm.scale : filled(1, {spec.width}, names.dtype);
    if (spec.one_plus) {
      std::vector<float> values = to_floats(view_of(scale));
      for (float& value : values) value -= 1;
      scale = float_tensor(values, {spec.width}, names.dtype);
    }
    tensors.push_back({names.weight, std::move(scale)});
  }
  if (!names.bias.empty())
    tensors.push_back({names.bias, norm.shift ? norm.shift : filled(0, {spec.width}, names.bias_dtype)});
  return tensors;
}

}  // namespace mquant
