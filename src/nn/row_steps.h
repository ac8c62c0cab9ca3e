// Norms and activations of registers.
#pragma once

#include "mquant/block.h"

namespace mquant {

/// Each run of `width` values of x [rows, a multiple of width] on its own: a row, or the heads in it.
/// float32 goes through src/kernels, so that its bits depend on neither the number of rows nor that of threads.
at::Tensor normalized(const NormWeights& norm, std::int64_t width, const at::Tensor& x);
at::Tensor activated(Activation activation, const at::Tensor& x);

}  // namespace mquant
