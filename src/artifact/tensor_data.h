// TensorData made and read: owned little-endian bytes, row-major.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "mquant/artifact.h"
#include "mquant/checkpoint.h"

namespace mquant {

struct NamedTensor {
  std::string name;
  TensorData data;
};

TensorView view_of(const TensorData& data);
TensorData copy_of(const TensorView& view);

TensorData i8_tensor(std::span<const std::int8_t> values, std::vector<std::int64_t> shape);
TensorData i32_tensor(std::span<const std::int32_t> values, std::vector<std::int64_t> shape);
TensorData i64_tensor(std::span<const std::int64_t> values, std::vector<std::int64_t> shape);
/// `dtype`: a float type; values are rounded to it, half to even.
TensorData float_tensor(std::span<const float> values, std::vector<std::int64_t> shape,
                        DType dtype = DType::f32);
/// Every element `value`.
TensorData filled(float value, std::vector<std::int64_t> shape, DType dtype);

std::vector<std::int8_t> i8_values(const TensorView& view);    ///< view.dtype is i8
std::vector<std::int32_t> i32_values(const TensorView& view);  ///< view.dtype is i32
std::vector<std::int64_t> i64_values(const TensorView& view);  ///< view.dtype is i64
std::vector<float> f32_values(const TensorView& view);         ///< view.dtype is f32

bool is_float(DType dtype);
bool all_equal(const TensorView& view, float value);
bool all_finite(const TensorView& view);
/// Does every value survive being stored as `dtype`?
bool exact_in(std::span<const float> values, DType dtype);

/// [rows, columns] -> [columns, rows]; shape has two axes.
TensorData transposed(const TensorData& matrix);

/// @throws Error{input} "WHERE: expected DTYPE SHAPE, found DTYPE SHAPE".
void expect_tensor(const TensorView& view, DType dtype, const std::vector<std::int64_t>& shape,
                   const std::string& where);

}  // namespace mquant
