// How much rounding lost: signal to quantization noise, in dB.
#pragma once

#include "mquant/scheme.h"
#include "mquant/tensor.h"

namespace mquant {

/// 10 log10(signal / noise), both sums of squares; +infinity without noise, -infinity without
/// signal.
double sqnr_db(double signal, double noise);

/// Of `got` against `reference`, same shape, any float type; summed in double, row by row.
/// @throws Error{internal} if the shapes differ
double sqnr_db(const at::Tensor& reference, const at::Tensor& got);

/// Of the codes, split columns included, against the weight W [out, in].
double weight_sqnr_db(const at::Tensor& W, const QuantizedLinear& linear);

}  // namespace mquant
