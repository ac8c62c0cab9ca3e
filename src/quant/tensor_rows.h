// Tensors as rows of float32, checked.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "mquant/tensor.h"

namespace mquant {

/// x itself if it is a float32 CPU matrix with contiguous rows, else a contiguous copy as one.
/// @throws Error{internal} if x is undefined or no matrix
at::Tensor float_matrix(const at::Tensor& x, std::string_view what);

/// Row r of a float_matrix.
std::span<const float> float_row(const at::Tensor& x, std::int64_t r);

/// @throws Error{input} naming row and column of the first NaN or infinity: "weight[3, 17] is nan"
void require_finite(const at::Tensor& matrix, std::string_view what);

}  // namespace mquant
