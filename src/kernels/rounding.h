// Rounding a row of weights to integer codes, and what clipping it would cost.
#pragma once

#include <cstdint>
#include <span>

namespace mquant {

/// Codes of a weight: [-8, 7] or [-127, 127].
struct CodeRange {
  int low = 0, high = 0;
};
/// @throws Error{internal} for other bits than 4 and 8
CodeRange code_range(int bits);

/// codes[i] = clamp(w[i] / scale rounded to nearest, ties to even).
void round_row(std::span<const float> w, float scale, const CodeRange& range, std::int8_t* codes);

/// The exponent of the error that a clip search minimizes.  Source: GPTQ, the authors' code.
inline constexpr double kClipNorm = 2.4;

/// sum_i |code_i scale - w_i|^2.4, to 1e-5 relative; infinity as soon as it is known to exceed `give_up`.
double clip_error(std::span<const float> w, float scale, const CodeRange& range, double give_up);

/// One block of columns of GPTQ, for a few rows: rounds them from the last column to the first, each with the errors of
/// the later ones taken into account.
struct FeedbackBlock {
  std::int64_t rows = 0, columns = 0;
  /// [rows, columns]: sum of error * factor over all columns after the block; used as scratch.
  float* pending = nullptr;
  /// Lower triangular, [columns, columns] at rows `factor_stride` apart.
  const float* factor = nullptr;
  std::int64_t factor_stride = 0;
  /// [rows, columns] at rows `value_stride` apart: weights before, errors (weight - code * scale) after.
  float* values = nullptr;
  std::int64_t value_stride = 0;
  std::int8_t* codes = nullptr;   // [rows, columns]
  const float* scales = nullptr;  // [rows]
  double* loss =
      nullptr;  // [rows]; the squared error of the outputs is added, in units of the factor's product
};
void round_with_feedback(const FeedbackBlock& block, const CodeRange& range);

}  // namespace mquant
