// One linear on some rows: in float, or by its integer codes.
#pragma once

#include <string_view>
#include <vector>

#include "mquant/block.h"

namespace mquant {

/// x' of the product: the online rotation applied to a copy of x, or x itself.
at::Tensor rotate_input(const Linear& linear, const at::Tensor& x);

/// y = W x' + b in the dtype of x, or, with codes and float32 x,
///   y = s_x(class) * s_w[o] * sum_i q_x[i] q_w[o, i]  +  split columns  +  b,
/// the sum in int32: exact, hence the same whatever kernel or order computes it; the rest in double, rounded once.
/// @param classes  of the rows
/// @throws Error{input} for a class without a scale
at::Tensor run_linear(const Linear& linear, const at::Tensor& x, const std::vector<TokenClass>& classes,
                      bool run_float);

}  // namespace mquant
