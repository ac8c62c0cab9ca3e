// Tensors from and to bytes.
#include "nn/tensors.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstring>

#include "mquant/error.h"

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

constexpr std::int64_t kPiece = 1 << 20;  // elements that are there in both types

at::Tensor from_bytes(DType dtype, const std::vector<std::int64_t>& shape, std::span<const std::byte> bytes,
                      at::ScalarType wanted) {
  const at::ScalarType type = scalar_type(dtype);
  at::Tensor out = at::empty(shape, wanted);
  const std::int64_t count = out.numel(), size = byte_size(dtype);
  require(count * size == std::ssize(bytes), "a tensor of ", count * size, " bytes from ", bytes.size());
  if (type == wanted) {
    if (count > 0) std::memcpy(out.data_ptr(), bytes.data(), bytes.size());
    return out;
  }
  at::Tensor piece = at::empty({std::min(kPiece, count)}, type), flat = out.view({count});
  for (std::int64_t begin = 0; begin < count; begin += kPiece) {
    const std::int64_t n = std::min(kPiece, count - begin);
    std::memcpy(piece.data_ptr(), bytes.data() + begin * size, static_cast<std::size_t>(n * size));
    flat.narrow(0, begin, n).copy_(piece.narrow(0, 0, n));
  }
  return out;
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

}  // namespace mquant
