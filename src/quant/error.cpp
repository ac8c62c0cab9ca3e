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

/// @param other_row  (r, scratch [columns]) -> row r of y
template <class OtherRow>
Squares squares(const at::Tensor& x, const OtherRow& other_row) {
  std::vector<Squares> rows(static_cast<std::size_t>(x.size(0)));
  for_each_task(x.size(0), [&](std::int64_t r) {
    std::vector<float> scratch;
    const std::span<const float> a = float_row(x, r), b = other_row(r, scratch);
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
  const at::Tensor x = float_matrix(reference.reshape({-1, width}), "reference"),
                   y = float_matrix(got.reshape({-1, width}), "result");
  const Squares sum = squares(x, [&](std::int64_t r, std::vector<float>&) { return float_row(y, r); });
  return sqnr_db(sum.signal, sum.noise);
}

double weight_sqnr_db(const at::Tensor& W, const QuantizedLinear& linear) {
  const at::Tensor w = float_matrix(W, "weight");
  if (!linear.split.channels.empty()) return sqnr_db(w, dequantized(linear));
  require(w.size(0) == linear.out && w.size(1) == linear.in, "codes of another shape than the weight's");
  // A row at a time: a second matrix of floats would be the most that rounding holds.
  const Squares sum = squares(w, [&](std::int64_t r, std::vector<float>& row) {
    const float scale = linear.weight_scale[static_cast<std::size_t>(r)];
    const std::int8_t* codes = linear.codes.data() + r * linear.in;
    for (std::int64_t i = 0; i < linear.in; ++i) row.push_back(scale * static_cast<float>(codes[i]));
    return std::span<const float>(row);
  });
  return sqnr_db(sum.signal, sum.noise);
}

}  // namespace mquant
