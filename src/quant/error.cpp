#include "quant/error.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "kernels/gemm_f32.h"
#include "mquant/error.h"
#include "quant/parallel.h"
#include "quant/round_to_nearest.h"
#include "quant/tensor_rows.h"

namespace mquant {
namespace {

/// Sums of squares of x and of x - y over all rows, each row by itself, rows in order.
struct Squares {
  double signal = 0, noise = 0;
};

Squares squares(const at::Tensor& x, const at::Tensor& y) {
  std::vector<Squares> rows(static_cast<std::size_t>(x.size(0)));
  for_each_task(x.size(0), [&](std::int64_t r) {
    const std::span<const float> a = float_row(x, r), b = float_row(y, r);
    Squares& row = rows[static_cast<std::size_t>(r)];
    for (std::size_t i = 0; i < a.size(); ++i) {
      const double value = static_cast<double>(a[i]), error = value - static_cast<double>(b[i]);
      row.signal += value * value;
      row.noise += error * error;
    }
  });
  Squares sum;
  for (const Squares& row : rows) {
    sum.signal += row.signal;
    sum.noise += row.noise;
  }
  return sum;
}

/// tr(A H A^T).
double weighted_square(const at::Tensor& A, const at::Tensor& H) {
  constexpr std::int64_t kRows = 48;
  const std::int64_t rows = A.size(0), n = A.size(1);
  std::vector<double> sums(static_cast<std::size_t>(rows));
  for_each_task((rows + kRows - 1) / kRows, [&](std::int64_t task) {
    const std::int64_t first = task * kRows, count = std::min(kRows, rows - first);
    std::vector<float> product(static_cast<std::size_t>(count * n));
    gemm_f32(product.data(), n, {A.const_data_ptr<float>() + first * n, n, 1},
             {H.const_data_ptr<float>(), n, 1}, count, n, n);
    for (std::int64_t r = 0; r < count; ++r) {
      const std::span<const float> row = float_row(A, first + r);
      double sum = 0;
      for (std::int64_t i = 0; i < n; ++i)
        sum += static_cast<double>(row[static_cast<std::size_t>(i)]) *
               static_cast<double>(product[static_cast<std::size_t>(r * n + i)]);
      sums[static_cast<std::size_t>(first + r)] = sum;
    }
  });
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}

}  // namespace

double sqnr_db(double signal, double noise) {
  if (noise == 0) return std::numeric_limits<double>::infinity();
  return 10 * std::log10(signal / noise);
}

double sqnr_db(const at::Tensor& reference, const at::Tensor& got) {
  require(reference.sizes() == got.sizes() && reference.dim() > 0, "SQNR of tensors of different shapes");
  const std::int64_t width = std::max<std::int64_t>(1, reference.size(-1));
  const Squares sum = squares(float_matrix(reference.reshape({-1, width}), "reference"),
                              float_matrix(got.reshape({-1, width}), "result"));
  return sqnr_db(sum.signal, sum.noise);
}

double weight_sqnr_db(const at::Tensor& W, const QuantizedLinear& linear) {
  return sqnr_db(W, dequantized(linear));
}

double output_sqnr_db(const at::Tensor& W, const QuantizedLinear& linear, const at::Tensor& H) {
  const at::Tensor w = float_matrix(W, "weight"), h = float_matrix(H, "Hessian");
  require(h.size(0) == w.size(1) && h.size(1) == w.size(1), "a Hessian of other width than the weight's");
  const at::Tensor error = w - dequantized(linear);
  return sqnr_db(weighted_square(w, h), weighted_square(error, h));
}

}  // namespace mquant
