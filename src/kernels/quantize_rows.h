// Static activation quantization: float rows to int8 codes, one scale a row.
#pragma once

#include <cstdint>
#include <span>

namespace mquant {

/// q = clamp(x / scale rounded to nearest, ties to even; -127, 127).
///
/// @param x       [rows, columns], rows `stride` apart
/// @param scales  [rows]: of each row's token class, real units a step
/// @param codes   [rows, columns], contiguous
/// @throws Error{input} naming row and column of a NaN or infinity, naming the row for a scale that is not positive and finite
void quantize_rows(const float* x, std::int64_t rows, std::int64_t columns, std::int64_t stride,
                   std::span<const float> scales, std::int8_t* codes);

/// What quantize_row saw.
struct RowCodes {
  std::int32_t sum = 0;  ///< of the codes
  bool finite = true;    ///< of all values; codes of others mean nothing
};
/// The same for one row, unchecked; `scale` positive and finite.
RowCodes quantize_row(const float* x, std::int64_t columns, float scale, std::int8_t* codes);

/// The scale at which the largest magnitude of a row becomes 127; 1 for a row of zeros or one that is not finite.
float dynamic_scale(const float* x, std::int64_t columns);

}  // namespace mquant
