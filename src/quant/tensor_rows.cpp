#include "quant/tensor_rows.h"

#include <cmath>

#include "mquant/error.h"
#include "quant/parallel.h"

namespace mquant {

at::Tensor float_matrix(const at::Tensor& x, std::string_view what) {
  require(x.defined() && x.dim() == 2, what, " is no matrix");
  return x.to(at::kCPU, at::kFloat).contiguous();
}

std::span<const float> float_row(const at::Tensor& x, std::int64_t r) {
  return {x.const_data_ptr<float>() + r * x.size(1), static_cast<std::size_t>(x.size(1))};
}

void require_finite(const at::Tensor& matrix, std::string_view what) {
  for_each_task(matrix.size(0), [&](std::int64_t r) {
    float sum = 0;  // x - x is 0 for finite x, else NaN
    for (const float x : float_row(matrix, r)) sum += x - x;
    if (sum == 0.0F) return;
    std::int64_t column = 0;
    while (std::isfinite(float_row(matrix, r)[static_cast<std::size_t>(column)])) ++column;
    fail(ErrorKind::input, what, "[", r, ", ", column, "] is ",
         float_row(matrix, r)[static_cast<std::size_t>(column)], "; expected finite numbers");
  });
}

}  // namespace mquant
