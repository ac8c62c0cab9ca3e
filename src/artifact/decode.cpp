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

constexpr std::int64_t kLargest = std::numeric_limits<std::int64_t>::max();

/// The tensors of one matrix in an artifact.
class Tensors {
 public:
  Tensors(const Checkpoint& artifact, const std::string& module) : artifact_(artifact), module_(module) {}

  std::string name(const char* ending) const { return cat(module_, ".", ending); }
  bool has(const char* ending) const { return artifact_.has(name(ending)); }

  TensorView get(const char* ending, DType dtype, const std::vector<std::int64_t>& shape) const {
    TensorView view = artifact_.get(name(ending));
    expect_tensor(view, dtype, shape, where(ending));
    return view;
  }
  std::string where(const char* ending) const { return cat("tensor '", name(ending), "'"); }

  /// A row of class scales must be what the manifest says, bit for bit; NaN stands for none.
  void expect_row(const char* ending, const ClassScales& scales, std::span<const float> row) const {
    for (std::size_t c = 0; c < row.size(); ++c) {
      const std::optional<float>& scale = scales.scale[c];
      if (scale ? row[c] != *scale : !std::isnan(row[c]))
        fail(ErrorKind::input, where(ending), ": class ", token_class_name(static_cast<TokenClass>(c)),
             ": expected what the manifest says, ", scale ? cat(*scale) : "NaN for none", ", found ", row[c]);
    }
  }

 private:
  const Checkpoint& artifact_;
  const std::string& module_;
};

void decode_codes(const Tensors& tensors, QuantizedLinear& q, const Fields& entry, const Dialect& dialect) {
  const int bits = q.scheme.weight_bits;
  const DType scale_dtype = dialect.ours ? DType::f32 : dialect.scale_dtype;
  if (entry.text("weight_scale_dtype") != dtype_name(scale_dtype))
    fail(ErrorKind::input, entry.where(), ": 'weight_scale_dtype': expected ", dtype_name(scale_dtype),
         " as in all of the artifact");
  const std::vector<std::int32_t> words =
      i32_values(tensors.get("weight_packed", DType::i32, {q.out, packed_words(q.in, bits)}));
  q.codes.resize(static_cast<std::size_t>(q.out * q.in));
  in_context(tensors.where("weight_packed"), [&] { unpack_codes(words, q.out, q.in, bits, q.codes); });
  q.weight_scale = to_floats(tensors.get("weight_scale", scale_dtype, {q.out, 1}));
  const std::vector<std::int64_t> shape = i64_values(tensors.get("weight_shape", DType::i64, {2}));
  if (shape != std::vector{q.out, q.in})
    fail(ErrorKind::input, tensors.where("weight_shape"), ": expected ", q.out, " x ", q.in, ", found ",
         shape[0], " x ", shape[1]);
}

void check_input_scales(const Tensors& tensors, const QuantizedLinear& q, const Dialect& dialect) {
  const std::optional<float> most = largest(q.input_scales);
  if (most) {
    const DType dtype = dialect.ours ? DType::f32 : dialect.scale_dtype;
    const float found = to_floats(tensors.get("input_scale", dtype, {1}))[0];
    if (found != rounded_up(*most, dtype))
      fail(ErrorKind::input, tensors.where("input_scale"), ": expected the largest of the manifest's, ",
           rounded_up(*most, dtype), ", found ", found);
  } else if (tensors.has("input_scale")) {
    fail(ErrorKind::input, tensors.where("input_scale"),
         " is there, and the manifest has no scale for any class");
  }
  if (!dialect.ours) return;
  const TensorView row = tensors.get("input_scale_by_class", DType::f32, {kTokenClasses});
  tensors.expect_row("input_scale_by_class", q.input_scales, f32_values(row));
}

SplitColumns decode_split(const Tensors& tensors, const Fields& entry, const QuantizedLinear& q) {
  SplitColumns split;
  split.channels = entry.integers("channels");
  split.quantized = entry.boolean("quantized");
  const auto k = static_cast<std::int64_t>(split.channels.size());
  if (i64_values(tensors.get("split_channels", DType::i64, {k})) != split.channels)
    fail(ErrorKind::input, tensors.where("split_channels"),
         ": expected the channels that the manifest names");
  if (!split.quantized) {
    split.values = f32_values(tensors.get("split_weight", DType::f32, {k, q.out}));
    return split;
  }
  split.codes = i8_values(tensors.get("split_weight", DType::i8, {k, q.out}));
  split.weight_scale = f32_values(tensors.get("split_weight_scale", DType::f32, {k}));
  if (q.scheme.activation_bits == 16) return split;
  const std::vector<float> rows =
      f32_values(tensors.get("split_input_scale", DType::f32, {k, kTokenClasses}));
  const Json& scales = entry.at("input_scales");
  if (!scales.is_array() || static_cast<std::int64_t>(scales.size()) != k)
    fail(ErrorKind::input, entry.where(), ": 'input_scales': expected a list of ", k);
  for (std::size_t i = 0; i < scales.size(); ++i) {
    split.input_scales.push_back(class_scales_from(Fields(scales[i], entry.where())));
    tensors.expect_row("split_input_scale", split.input_scales.back(),
                       std::span(rows).subspan(i * kTokenClasses, kTokenClasses));
  }
  return split;
}

OnlineRotation decode_rotation(const Tensors& tensors, const Fields& entry) {
  OnlineRotation rotation;
  rotation.size = entry.integer("size", 1, kLargest);
  rotation.block = entry.integer("block", 1, kLargest);
  const HadamardPlan plan = plan_hadamard(rotation.size, rotation.block);
  std::vector<std::int64_t> orders;
  for (const auto& factor : plan.factors) orders.push_back(factor->order);
  if (entry.integers("orders") != orders || entry.integer("power", 1, kLargest) != plan.power)
    fail(ErrorKind::input, entry.where(), ": not the Hadamard matrix that this program makes for blocks of ",
         rotation.block);
  if (!entry.has("signs_sha256")) return rotation;
  rotation.signs = i8_values(tensors.get("input_rotation_signs", DType::i8, {rotation.size}));
  if (sha256_hex(std::as_bytes(std::span(rotation.signs))) != entry.text("signs_sha256"))
    fail(ErrorKind::input, tensors.where("input_rotation_signs"),
         ": its SHA-256 is not the one in the manifest");
  return rotation;
}

/// Is the weight that of the embeddings?  Only the manifest says so; the tensors must agree.
bool decode_tie(const Tensors& tensors, const Checkpoint& artifact, const Matrix& matrix,
                const Fields& entry) {
  if (!entry.has("tied_to")) return false;
  if (matrix.tied_to.empty() || entry.text("tied_to") != matrix.tied_to)
    fail(ErrorKind::input, entry.where(), ": 'tied_to': expected ",
         matrix.tied_to.empty() ? std::string("none") : cat("'", matrix.tied_to, "'"), ", found '",
         printable(entry.text("tied_to")), "'");
  if (entry.text("scheme").ends_with("a8") || entry.has("split") || entry.has("rotation"))
    fail(ErrorKind::input, entry.where(),
         ": 'tied_to': expected float activations, no split columns and no rotation");
  for (const std::string& name : {matrix.tensor, tensors.name("weight_packed"), tensors.name("weight_scale")})
    if (artifact.has(name))
      fail(ErrorKind::input, "tensor '", name, "': expected none beside '", matrix.tied_to,
           "', to which the manifest ties it");
  return true;
}

TensorData decode_weight(const Checkpoint& artifact, const Matrix& matrix, bool tied) {
  const std::string& name = tied ? matrix.tied_to : matrix.tensor;
  const TensorView view = artifact.get(name);
  const std::vector<std::int64_t> shape = !matrix.stored_shape.empty() ? matrix.stored_shape
                                          : matrix.transposed          ? std::vector{matrix.in, matrix.out}
                                                                       : std::vector{matrix.out, matrix.in};
  expect_tensor(view, view.dtype, shape, cat("tensor '", name, "'"));
  TensorData weight = copy_of(view);
  if (matrix.transposed) return transposed(weight);
  weight.shape = {matrix.out, matrix.in};
  return weight;
}

/// The manifest's word on a type; it says null where there is no such tensor.
void expect_told(const Fields& entry, const char* key, const TensorData& data) {
  const Json told = entry.has(key) ? entry.at(key) : Json();
  const Json found = data ? Json(dtype_name(data.dtype)) : Json();
  if (told != found)
    fail(ErrorKind::input, entry.where(), ": '", key, "' is ", describe(told), ", and ", describe(found),
         " is stored");
}

}  // namespace

StoredLinear decode_matrix(const Checkpoint& artifact, const Matrix& matrix, const Fields& entry,
                           const Dialect& dialect) {
  const Tensors tensors(artifact, matrix.module);
  const bool tied = decode_tie(tensors, artifact, matrix, entry);
  if (entry.integer("out", 1, kLargest) != matrix.out || entry.integer("in", 1, kLargest) != matrix.in)
    fail(ErrorKind::input, entry.where(), ": expected ", matrix.out, " x ", matrix.in, " by config.json");
  StoredLinear linear;
  const std::string holder = tied ? module_of(matrix.tied_to) : matrix.module;
  const QuantScheme scheme{static_cast<int>(entry.integer("weight_bits", 4, 16)),
                           static_cast<int>(entry.integer("activation_bits", 8, 16))};
  if (scheme.name() != entry.text("scheme"))
    fail(ErrorKind::input, entry.where(), ": 'scheme' and the numbers of bits disagree");
  if (!scheme.is_float()) {
    QuantizedLinear& q = linear.quantized.emplace();
    q.out = matrix.out;
    q.in = matrix.in;
    q.scheme = scheme;
    if (scheme.weight_bits != 16) decode_codes({artifact, holder}, q, entry, dialect);
    if (scheme.activation_bits != 16) {
      q.input_scales = class_scales_from(entry.object("input_scales"));
      check_input_scales(tensors, q, dialect);
    }
    if (entry.has("split")) q.split = decode_split(tensors, entry.object("split"), q);
  }
  if (entry.has("rotation")) linear.rotation = decode_rotation(tensors, entry.object("rotation"));
  if (scheme.weight_bits == 16) linear.weight = decode_weight(artifact, matrix, tied);
  expect_told(entry, "weight_dtype", linear.weight);
  if (matrix.describes_bias || artifact.has(matrix.bias)) linear.bias = copy_of(artifact.get(matrix.bias));
  expect_told(entry, "bias_dtype", linear.bias);
  check_linear(linear, matrix.out, matrix.in, cat("'", matrix.tensor, "'"), ErrorKind::input);
  return linear;
}

StoredNorm decode_norm(const Checkpoint& artifact, const NormSpec& spec, const NormNames& names,
                       const Json& entry) {
  StoredNorm norm;
  norm.kind = spec.kind;
  norm.eps = spec.eps;
  if (!entry.is_null()) {
    const Fields fields(entry, cat("norm '", names.weight, "'"));
    norm.kind = fields.text("kind") == norm_kind_name(NormKind::rms) ? NormKind::rms : NormKind::layer;
    norm.eps = fields.number("eps");
  }
  const auto read = [&](const std::string& name, TensorData& into) {
    const TensorView view = artifact.get(name);
    expect_tensor(view, view.dtype, {spec.width}, cat("tensor '", name, "'"));
    if (!is_float(view.dtype)) fail(ErrorKind::input, "tensor '", name, "': expected floats");
    into = copy_of(view);
  };
  if (!names.weight.empty()) read(names.weight, norm.scale);
  if (!names.bias.empty()) read(names.bias, norm.shift);
  if (spec.one_plus && norm.scale) {
    std::vector<float> values = to_floats(view_of(norm.scale));
    for (float& value : values) value += 1;
    norm.scale = float_tensor(values, {spec.width}, DType::f32);
  }
  check_norm(norm, cat("norm '", names.weight, "'"), ErrorKind::input);
  if (norm.scale && all_equal(view_of(norm.scale), 1)) norm.scale = {};
  if (norm.shift && all_equal(view_of(norm.shift), 0)) norm.shift = {};
  return norm;
}

}  // namespace mquant
