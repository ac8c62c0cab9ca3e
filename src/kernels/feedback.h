// One block of columns of GPTQ: each column is rounded with the errors of the later ones
// compensated.
#pragma once

#include <cstdint>

#include "kernels/rounding.h"

namespace mquant {

/// Rows of a FeedbackBlock come in multiples of this; rows of zeros fill it up.
inline constexpr std::int64_t kFeedbackRows = 16;

/// Columns of a weight for some of its rows, which lie beside each other.
struct FeedbackBlock {
  std::int64_t rows = 0, columns = 0;
  /// [columns, rows]: sum of error * factor over all columns after the block.
  const float* pending = nullptr;
  /// L, lower triangular, [columns, columns] at rows `factor_stride` apart.
  const float* factor = nullptr;
  std::int64_t factor_stride = 0;
  /// [columns, rows]: weights before, errors (weight - code * scale) after.
  float* values = nullptr;
  std::int8_t* codes = nullptr;   ///< [columns, rows]
  const float* scales = nullptr;  ///< [rows]
  double* loss = nullptr;         ///< [rows]; |error L|^2 of the block's columns is added
};

/// Rounds the columns from the last to the first, column a to the code nearest to
///   value + sum / factor[a, a],  sum = pending[a] + error[b] factor[b, a] + ...,
/// b from the last column down to a + 1, by fused multiply-adds in this order: the same bits on
/// every processor.
///
/// Cost  columns^2 / 2 multiply-adds for each row; columns^2 floats of scratch
void round_with_feedback(const FeedbackBlock& block, const CodeRange& range);

}  // namespace mquant
