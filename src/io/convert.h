// Numbers of every stored type as float or double, and back to 16 bits.  No libtorch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "mquant/checkpoint.h"

namespace mquant {

float float_from_bf16(std::uint16_t bits);
float float_from_f16(std::uint16_t bits);

/// Round half to even; beyond the largest number: infinity.  A NaN stays one.
std::uint16_t bf16_from_float(float value);
std::uint16_t f16_from_float(float value);

/// The nearest bfloat16, half to even.
float bfloat16_round(float value);
/// The smallest bfloat16 >= value: a scale stored so still covers the range it was measured on.
/// Above the largest finite bfloat16 that is infinity.
float bfloat16_round_up(float value);

/// The elements of any dtype.  out [view.numel()]; throws Error{internal} if the sizes disagree.
/// Exact but for f64 and wide integers, which are rounded to nearest; a boolean is 0 or 1.
void to_floats(const TensorView& view, std::span<float> out);
void to_doubles(const TensorView& view, std::span<double> out);
std::vector<float> to_floats(const TensorView& view);
std::vector<double> to_doubles(const TensorView& view);

/// The bytes of `values` stored as `dtype`, one of f16, bf16, f32, f64; throws Error{internal} for others.
std::vector<std::byte> to_bytes(std::span<const float> values, DType dtype);

}  // namespace mquant
