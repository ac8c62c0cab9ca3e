// Products of float32 rows with a weight that is kept in fewer bits, bfloat16 or int8 codes: less memory to read where
// reading is the cost.
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
void gemm_bf16(const float* x, std::int64_t rows, const std::uint16_t* w, std::int64_t out, std::int64_t in,
               float* y, std::int64_t stride);

/// y[r, o] = scale[o] (sum_i x[r, i] w[o, i]): in float32, scaled at the end; as above, but for the order of the sum.
///
/// @param w      [out, in], codes, contiguous
/// @param scale  [out]
void gemm_f32_s8(const float* x, std::int64_t rows, const std::int8_t* w, const float* scale,
                 std::int64_t out, std::int64_t in, float* y, std::int64_t stride);

}  // namespace mquant
