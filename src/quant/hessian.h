// The Hessian of a linear's rounding error: second moments of its inputs.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "mquant/tensor.h"

namespace mquant {

/// H = sum_t lambda_t x_t x_t^T over calibration rows, float32, [in, in].
///
/// Rows are summed in chunks of 512, whatever the calls were, each chunk in order of its rows: the
/// bytes depend on the rows and their order only, not on the number of threads or on the
/// processor.
/// Memory  in^2 floats and 512 rows; the sum is kept as its lower triangle
class HessianAccumulator {
 public:
  explicit HessianAccumulator(std::int64_t in);

  /// @param X        [rows, in] float32; NaN and infinity are found by prepare_hessian
  /// @param weights  lambda of each row, not negative; empty: all 1
  void add(const at::Tensor& X, std::span<const float> weights = {});

  std::int64_t width() const { return in_; }
  std::int64_t rows() const { return rows_; }

  /// H, symmetric; the accumulator is empty afterwards.
  at::Tensor take();

 private:
  void flush();

  std::int64_t in_ = 0, rows_ = 0, buffered_ = 0;
  std::vector<float> buffer_;  // [512, in]
  at::Tensor sum_;             // [in, in], lower triangle
};

}  // namespace mquant
