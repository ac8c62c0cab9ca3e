// Tensors from and to bytes, and the blocks of a checkpoint.
#include "nn/tensors.h"

#include <ATen/ops/empty.h>

#include <cstring>

#include "mquant/block.h"
#include "mquant/error.h"
#include "support/strings.h"

namespace mquant {

at::ScalarType scalar_type(DType dtype) {
  switch (dtype) {
    case DType::boolean: return at::kBool;
    case DType::u8: return at::kByte;
    case DType::i8: return at::kChar;
    case DType::i16: return at::kShort;
    case DType::i32: return at::kInt;
    case DType::i64: return at::kLong;
    case DType::f16: return at::kHalf;
    case DType::bf16: return at::kBFloat16;
    case DType::f32: return at::kFloat;
    case DType::f64: return at::kDouble;
  }
  return at::kFloat;
}

DType dtype_of(at::ScalarType type) {
  for (DType dtype : {DType::boolean, DType::u8, DType::i8, DType::i16, DType::i32, DType::i64, DType::f16,
                      DType::bf16, DType::f32, DType::f64})
    if (scalar_type(dtype) == type) return dtype;
  fail(ErrorKind::internal, "no stored type for a tensor of type ", c10::toString(type));
}

namespace {

at::Tensor from_bytes(DType dtype, const std::vector<std::int64_t>& shape, std::span<const std::byte> bytes,
                      at::ScalarType wanted) {
  at::Tensor raw = at::empty(shape, scalar_type(dtype));
  require(raw.nbytes() == bytes.size(), "a tensor of ", raw.nbytes(), " bytes from ", bytes.size());
  if (!bytes.empty()) std::memcpy(raw.data_ptr(), bytes.data(), bytes.size());
  return raw.to(wanted);
}

}  // namespace

at::Tensor to_tensor(const TensorView& view, at::ScalarType dtype) {
  return from_bytes(view.dtype, view.shape, view.bytes, dtype);
}

at::Tensor to_tensor(const TensorData& data, at::ScalarType dtype) {
  return from_bytes(data.dtype, data.shape, data.bytes, dtype);
}

TensorData to_data(const at::Tensor& tensor, DType dtype) {
  TensorData data;
  if (!tensor.defined()) return data;
  const at::Tensor stored = tensor.to(scalar_type(dtype)).contiguous();
  data.dtype = dtype;
  data.shape = stored.sizes().vec();
  const auto* bytes = static_cast<const std::byte*>(stored.data_ptr());
  data.bytes.assign(bytes, bytes + stored.nbytes());
  return data;
}

at::Tensor index_tensor(const std::vector<std::int64_t>& values) {
  at::Tensor index = at::empty({static_cast<std::int64_t>(values.size())}, at::kLong);
  std::copy(values.begin(), values.end(), index.data_ptr<std::int64_t>());
  return index;
}

namespace {

/// Finds tensors under the name of the description or, failing that, under those of other releases.
class SourceReader {
 public:
  SourceReader(const Checkpoint& checkpoint, const ModelSpec& model, at::ScalarType dtype)
      : checkpoint_(checkpoint), model_(model), dtype_(dtype) {}

  /// The whole stored tensor, in `shape`; checked.
  at::Tensor read(const Source& source, const std::vector<std::int64_t>& shape) const {
    const std::string name = find(source);
    const TensorView view = checkpoint_.get(name);
    if (view.shape != shape)
      fail(ErrorKind::input, checkpoint_.directory().string(), ": tensor '", name, "': expected shape ",
           shape_text(shape), " by config.json, found ", shape_text(view.shape));
    if (view.dtype != DType::bf16 && view.dtype != DType::f16 && view.dtype != DType::f32 &&
        view.dtype != DType::f64)
      fail(ErrorKind::unsupported, checkpoint_.directory().string(), ": tensor '", name, "' holds ",
           dtype_name(view.dtype), ": only float checkpoints can be quantized");
    return to_tensor(view, dtype_);
  }

 private:
  std::string find(const Source& source) const {
    return checkpoint_.has(resolve_name(source.name)) || source.otherwise.empty()
               ? resolve_name(source.name)
               : resolve_name(source.otherwise);
  }
  std::string resolve_name(const std::string& name) const {
    return resolve(name, model_, [this](const std::string& candidate) { return checkpoint_.has(candidate); });
  }

  const Checkpoint& checkpoint_;
  const ModelSpec& model_;
  at::ScalarType dtype_;
};

/// Height of the tensor that `spec` is a part of.
std::int64_t stored_rows(const LinearSpec& spec, const BlockSpec& block) {
  if (spec.weight.fused == Fused::none) return spec.out;
  const AttentionSpec& a = block.attention;
  const bool mlp = spec.weight.part == Part::gate || spec.weight.part == Part::up;
  return mlp ? 2 * spec.out : (a.heads + 2 * a.kv_heads) * a.head_dim;
}

at::Tensor part_of(const at::Tensor& whole, const Source& source, const BlockSpec& block) {
  if (source.fused == Fused::none) return whole;
  return whole.index_select(0, index_tensor(fused_rows(source, block.attention, whole.size(0))));
}

Linear load_linear(const SourceReader& reader, const LinearSpec& spec, const BlockSpec& block) {
  Linear linear;
  const std::int64_t rows = stored_rows(spec, block);
  const std::vector<std::int64_t> shape = !spec.weight.stored_shape.empty() ? spec.weight.stored_shape
                                          : spec.weight.transposed          ? std::vector{spec.in, rows}
                                                                            : std::vector{rows, spec.in};
  at::Tensor whole = reader.read(spec.weight, shape);
  whole = spec.weight.transposed ? whole.t().contiguous() : whole.reshape({rows, spec.in});
  linear.weight = part_of(whole, spec.weight, block);
  if (spec.bias) linear.bias = part_of(reader.read(spec.bias, {rows}), spec.bias, block);
  return linear;
}

}  // namespace

Block load_block(const Checkpoint& checkpoint, const ModelSpec& model, const BlockSpec& spec,
                 at::ScalarType dtype) {
  const SourceReader reader(checkpoint, model, dtype);
  Block block(spec);
  for (const LinearSpec& linear : spec.linears)
    block.linears[linear.name] = load_linear(reader, linear, spec);
  for (const NormSpec& norm : spec.norms) {
    NormWeights& weights = block.norms[norm.name];
    weights.kind = norm.kind;
    weights.eps = norm.eps;
    if (norm.weight) weights.scale = reader.read(norm.weight, {norm.width});
    if (norm.one_plus) weights.scale.add_(1);
    if (norm.bias) weights.shift = reader.read(norm.bias, {norm.width});
  }
  for (const ParamSpec& param : spec.params)
    block.params[param.name] = reader.read(param.source, param.shape);
  return block;
}

}  // namespace mquant
