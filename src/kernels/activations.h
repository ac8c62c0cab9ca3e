// The activation functions of a model, over runs of values.
#pragma once

#include <cstdint>

#include "mquant/model.h"

namespace mquant {

/// out[i] = activation of x[i].  A value's bits depend neither on where it stands nor on the processor; NaN stays NaN,
/// +infinity stays itself, -infinity becomes NaN.
///
///   silu        x / (1 + exp(-x))
///   quick_gelu  x / (1 + exp(-1.702 x))
///   gelu_tanh   x (1 + tanh(u)) / 2 = x / (1 + exp(-2 u)),  u = sqrt(2 / pi) (x + 0.044715 x^3)
///   gelu        x (1 + erf(x / sqrt(2))) / 2
///
/// Errors are below 2e-7 max(1, |x|).
///
/// @param out  [n]; may be x
void activate_row(Activation activation, const float* x, std::int64_t n, float* out);

/// out[i] = activation of gate[i], rounded, times up[i]: the same as activate_row and a product.
/// @param out  [n]; may be gate or up
void activate_multiply_row(Activation activation, const float* gate, const float* up, std::int64_t n,
                           float* out);

/// Sums and products, rounded once each.  `out` may be one of the others.
void add_row(const float* a, const float* b, std::int64_t n, float* out);
void multiply_row(const float* a, const float* b, std::int64_t n, float* out);
void scale_row(const float* x, float factor, std::int64_t n, float* out);

}  // namespace mquant
