#include "quant/error.h"

#include <cmath>
#include <limits>

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

}  // namespace mquant
