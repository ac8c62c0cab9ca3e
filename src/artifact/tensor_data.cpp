#include "artifact/tensor_data.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "io/convert.h"
#include "mquant/error.h"
#include "support/strings.h"

namespace mquant {
namespace {

std::size_t elements(const std::vector<std::int64_t>& shape) {
  std::int64_t count = 1;
  for (const std::int64_t size : shape)
    require(size >= 0 && !__builtin_mul_overflow(count, size, &count), "a tensor of shape ",
            shape_text(shape));
  return static_cast<std::size_t>(count);
}

template <class T>
TensorData packed(std::span<const T> values, std::vector<std::int64_t> shape, DType dtype) {
  require(values.size() == elements(shape), values.size(), " values for a tensor ", shape_text(shape));
  const auto bytes = std::as_bytes(values);
  return {dtype, std::move(shape), {bytes.begin(), bytes.end()}};
}

template <class T>
std::vector<T> unpacked(const TensorView& view, DType dtype) {
  require(view.dtype == dtype, "a tensor is read as ", dtype_name(dtype), " and is ", dtype_name(view.dtype));
  std::vector<T> values(view.bytes.size() / sizeof(T));
  if (!values.empty()) std::memcpy(values.data(), view.bytes.data(), values.size() * sizeof(T));
  return values;
}

/// Calls `accept` with the values of `view`, some thousands at a time, until it says no.
template <class Accept>
bool every_piece(const TensorView& view, const Accept& accept) {
  constexpr std::size_t kPiece = 1 << 14;
  const auto size = static_cast<std::size_t>(byte_size(view.dtype));
  std::vector<float> values;
  for (std::size_t at = 0; at < view.bytes.size(); at += kPiece * size) {
    const auto bytes = view.bytes.subspan(at, std::min(kPiece * size, view.bytes.size() - at));
    values.resize(bytes.size() / size);
    to_floats({view.dtype, {static_cast<std::int64_t>(values.size())}, bytes}, values);
    if (!std::all_of(values.begin(), values.end(), accept)) return false;
  }
  return true;
}

}  // namespace

TensorView view_of(const TensorData& data) { return {data.dtype, data.shape, data.bytes}; }

TensorData copy_of(const TensorView& view) {
  return {view.dtype, view.shape, {view.bytes.begin(), view.bytes.end()}};
}

TensorData i8_tensor(std::span<const std::int8_t> values, std::vector<std::int64_t> shape) {
  return packed(values, std::move(shape), DType::i8);
}

TensorData i32_tensor(std::span<const std::int32_t> values, std::vector<std::int64_t> shape) {
  return packed(values, std::move(shape), DType::i32);
}

TensorData i64_tensor(std::span<const std::int64_t> values, std::vector<std::int64_t> shape) {
  return packed(values, std::move(shape), DType::i64);
}

TensorData float_tensor(std::span<const float> values, std::vector<std::int64_t> shape, DType dtype) {
  require(values.size() == elements(shape), values.size(), " values for a tensor ", shape_text(shape));
  return {dtype, std::move(shape), to_bytes(values, dtype)};
}

TensorData filled(float value, std::vector<std::int64_t> shape, DType dtype) {
  const std::vector<float> values(elements(shape), value);
  return float_tensor(values, std::move(shape), dtype);
}

std::vector<std::int8_t> i8_values(const TensorView& view) { return unpacked<std::int8_t>(view, DType::i8); }
std::vector<std::int32_t> i32_values(const TensorView& view) {
  return unpacked<std::int32_t>(view, DType::i32);
}
std::vector<std::int64_t> i64_values(const TensorView& view) {
  return unpacked<std::int64_t>(view, DType::i64);
}
std::vector<float> f32_values(const TensorView& view) { return unpacked<float>(view, DType::f32); }

bool is_float(DType dtype) {
  return dtype == DType::f16 || dtype == DType::bf16 || dtype == DType::f32 || dtype == DType::f64;
}

bool all_equal(const TensorView& view, float value) {
  return every_piece(view, [value](float x) { return x == value; });
}

bool all_finite(const TensorView& view) {
  return every_piece(view, [](float x) { return std::isfinite(x); });
}

bool exact_in(std::span<const float> values, DType dtype) {
  const std::vector<std::byte> bytes = to_bytes(values, dtype);
  std::vector<float> back(values.size());
  to_floats({dtype, {static_cast<std::int64_t>(values.size())}, bytes}, back);
  return std::equal(values.begin(), values.end(), back.begin());
}

TensorData transposed(const TensorData& matrix) {
  require(matrix.shape.size() == 2, "a matrix of shape ", shape_text(matrix.shape));
  const auto rows = static_cast<std::size_t>(matrix.shape[0]),
             columns = static_cast<std::size_t>(matrix.shape[1]);
  const auto size = static_cast<std::size_t>(byte_size(matrix.dtype));
  TensorData out{
      matrix.dtype, {matrix.shape[1], matrix.shape[0]}, std::vector<std::byte>(matrix.bytes.size())};
  for (std::size_t row = 0; row < rows; ++row)
    for (std::size_t column = 0; column < columns; ++column)
      std::memcpy(&out.bytes[(column * rows + row) * size], &matrix.bytes[(row * columns + column) * size],
                  size);
  return out;
}

void expect_tensor(const TensorView& view, DType dtype, const std::vector<std::int64_t>& shape,
                   const std::string& where) {
  if (view.dtype == dtype && view.shape == shape) return;
  fail(ErrorKind::input, where, ": expected ", dtype_name(dtype), " ", shape_text(shape), ", found ",
       dtype_name(view.dtype), " ", shape_text(view.shape));
}

}  // namespace mquant
