// Products of float32 rows with a weight that is kept in bfloat16: half the memory to read where reading is the cost.
#pragma once

#include <cstdint>

namespace mquant {

/// y[r, o] = sum_i x[r, i] w[o, i] in float32; a weight is widened exactly.  The order of the sum depends on the width
/// alone: a row gets the same bits among any others, and on every processor.
///
/// @param x  [rows, in], contiguous
/// @param w  [out, in], bfloat16 bits, contiguous
/// @param y  [rows, out], rows `stride` >= out apart, so that a caller may split the outputs over threads
/// Cost      2 rows out in operations, single-threaded; w is read once for each four rows
void gemm_bf16(const float* x, std::int64_t rows, const std::uint16_t* w, std::int64_t out, std::int64_t in, float* y,
               std::int64_t stride);

}  // namespace mquant
