#include "quant/gptq.h"

#include <algorithm>
#include <numeric>

#include "kernels/feedback.h"
#include "kernels/gemm_f32.h"
#include "mquant/error.h"
#include "quant/error.h"
#include "quant/parallel.h"
#include "quant/tensor_rows.h"

namespace mquant {
namespace {

constexpr std::int64_t kBlock = 128;       // columns between two products
constexpr std::int64_t kFigureRows = 256;  // of which the error of the output is told

/// A row of the weight in the order of rounding.
void gather_row(std::span<const float> row, const GptqFactor& factor, float* out) {
  for (const std::int64_t column : factor.column_at) *out++ = row[static_cast<std::size_t>(column)];
}

/// What the factor's additions to the diagonal have in the square of row [in], over columns
/// [begin, end).
double added_part(const GptqFactor& factor, const float* row, std::int64_t begin, std::int64_t end) {
  double sum = 0;
  for (std::int64_t i = begin; i < end; ++i) {
    const auto value = static_cast<double>(row[i]);
    sum += factor.added[static_cast<std::size_t>(i)] * value * value;
  }
  return sum;
}

/// Rows [begin, end) of a linear, column by column beside each other; rows of zeros fill up
/// vectors.
class RowTile {
 public:
  RowTile(const GptqFactor& factor, QuantizedLinear& linear, std::int64_t begin, std::int64_t end)
      : factor_(factor),
        linear_(linear),
        begin_(begin),
        rows_(end - begin),
        lanes_((rows_ + kFeedbackRows - 1) / kFeedbackRows * kFeedbackRows),
        n_(factor.in),
        values_(static_cast<std::size_t>(n_ * lanes_)),
        pending_(static_cast<std::size_t>(kBlock * lanes_)),
        scales_(static_cast<std::size_t>(lanes_), 1.0F),
        loss_(static_cast<std::size_t>(lanes_)),
        codes_(static_cast<std::size_t>(kBlock * lanes_)) {}

  /// @param loss   [rows], set: |E L|^2, of the damped Hessian
  /// @param added  [rows], set: what of it is not the Hessian's
  void run(const at::Tensor& W, double* loss, double* added) {
    gather(W);
    std::copy_n(linear_.weight_scale.data() + begin_, rows_, scales_.data());
    const std::int64_t last = (n_ - 1) / kBlock * kBlock;
    for (std::int64_t first = last; first >= 0; first -= kBlock)
      round_block(first, std::min(kBlock, n_ - first));
    std::copy_n(loss_.data(), rows_, loss);
    std::fill_n(added, rows_, 0.0);
    for (std::int64_t a = 0; a < n_; ++a)
      for (std::int64_t r = 0; r < rows_; ++r) {
        const auto error = static_cast<double>(values_[static_cast<std::size_t>(a * lanes_ + r)]);
        added[r] += factor_.added[static_cast<std::size_t>(a)] * error * error;
      }
  }

 private:
  /// A few rows at a time, which stay in a cache.
  void gather(const at::Tensor& W) {
    for (std::int64_t first = 0; first < rows_; first += kFeedbackRows) {
      const std::int64_t last = std::min(rows_, first + kFeedbackRows);
      const float* rows = W.const_data_ptr<float>() + begin_ * n_;
      for (std::int64_t a = 0; a < n_; ++a)
        for (std::int64_t r = first; r < last; ++r)
          values_[static_cast<std::size_t>(a * lanes_ + r)] =
              rows[r * n_ + factor_.column_at[static_cast<std::size_t>(a)]];
    }
  }

  std::size_t column(std::int64_t position) const {
    return static_cast<std::size_t>(factor_.column_at[static_cast<std::size_t>(position)]);
  }

  void round_block(std::int64_t first, std::int64_t columns) {
    const float* lower = factor_.lower.const_data_ptr<float>();
    const std::int64_t done = first + columns;
    std::fill(pending_.begin(), pending_.end(), 0.0F);
    gemm_f32(pending_.data(), lanes_, {lower + done * n_ + first, 1, n_},
             {values_.data() + done * lanes_, lanes_, 1}, columns, lanes_, n_ - done);
    round_with_feedback({.rows = lanes_,
                         .columns = columns,
                         .pending = pending_.data(),
                         .factor = lower + first * n_ + first,
                         .factor_stride = n_,
                         .values = values_.data() + first * lanes_,
                         .codes = codes_.data(),
                         .scales = scales_.data(),
                         .loss = loss_.data()},
                        code_range(linear_.scheme.weight_bits));
    for (std::int64_t r = 0; r < rows_; ++r)
      for (std::int64_t a = 0; a < columns; ++a)
        linear_.codes[static_cast<std::size_t>((begin_ + r) * n_) + column(first + a)] =
            codes_[static_cast<std::size_t>(a * lanes_ + r)];
  }

  const GptqFactor& factor_;
  QuantizedLinear& linear_;
  std::int64_t begin_, rows_, lanes_, n_;
  // Weights in the order of rounding, [in, lanes]; they become errors as they are rounded.
  std::vector<float> values_;
  std::vector<float> pending_, scales_;
  std::vector<double> loss_;
  std::vector<std::int8_t> codes_;  // [kBlock, lanes]
};

/// Enough tasks for the threads, but no more than needed: every tile reads the whole factor.
std::int64_t rows_in_tile(std::int64_t out) {
  const std::int64_t tasks = 3 * task_threads();
  return std::clamp<std::int64_t>((out / tasks + 47) / 48 * 48, 48, 192);
}

at::Tensor without_columns(const at::Tensor& W, const std::vector<std::int64_t>& columns) {
  const float* held = W.const_data_ptr<float>();
  const auto is_zero = [&](std::int64_t column) {
    for (std::int64_t r = 0; r < W.size(0); ++r)
      if (held[r * W.size(1) + column] != 0.0F) return false;
    return true;
  };
  if (std::ranges::all_of(columns, is_zero)) return W;  // no second copy of what may be large
  at::Tensor w = W.clone();
  float* values = w.data_ptr<float>();
  for (std::int64_t r = 0; r < w.size(0); ++r)
    for (const std::int64_t column : columns) values[r * w.size(1) + column] = 0.0F;
  return w;
}

/// Rows that the figure is taken from, evenly spread.
std::vector<std::int64_t> rows_to_look_at(std::int64_t out) {
  const std::int64_t count = std::min(out, kFigureRows);
  std::vector<std::int64_t> rows;
  for (std::int64_t k = 0; k < count; ++k) rows.push_back(k * out / count);
  return rows;
}

/// Columns [first, first + columns) of rows times L, which is below its diagonal only.
std::vector<float> times_lower(const std::vector<float>& rows, const GptqFactor& factor, std::int64_t first,
                               std::int64_t columns) {
  const std::int64_t n = factor.in, count = std::ssize(rows) / n, below = first + columns;
  const float* lower = factor.lower.const_data_ptr<float>();
  std::vector<float> corner(static_cast<std::size_t>(columns * columns));
  for (std::int64_t i = 0; i < columns; ++i)
    std::copy_n(lower + (first + i) * n + first, i + 1, corner.data() + i * columns);
  std::vector<float> product(static_cast<std::size_t>(count * columns));
  gemm_f32(product.data(), columns, {rows.data() + first, n, 1}, {corner.data(), columns, 1}, count, columns,
           columns);
  gemm_f32(product.data(), columns, {rows.data() + below, n, 1}, {lower + below * n + first, n, 1}, count,
           columns, n - below);
  return product;
}

/// tr(W H W^T) over some rows of W: |W L|^2 without what was added to H's diagonal.
double output_square(const at::Tensor& W, const GptqFactor& factor, const std::vector<std::int64_t>& which) {
  const std::int64_t n = factor.in;
  std::vector<float> rows(which.size() * static_cast<std::size_t>(n));
  for (std::size_t k = 0; k < which.size(); ++k)
    gather_row(float_row(W, which[k]), factor, rows.data() + k * static_cast<std::size_t>(n));
  std::vector<double> sums(static_cast<std::size_t>((n + kBlock - 1) / kBlock));
  for_each_task(std::ssize(sums), [&](std::int64_t task) {
    const std::int64_t first = task * kBlock, columns = std::min(kBlock, n - first);
    double sum = 0;
    for (const float x : times_lower(rows, factor, first, columns))
      sum += static_cast<double>(x) * static_cast<double>(x);
    for (std::int64_t k = 0; k < std::ssize(which); ++k)
      sum -= added_part(factor, rows.data() + k * n, first, first + columns);
    sums[static_cast<std::size_t>(task)] = sum;
  });
  return std::max(0.0, std::accumulate(sums.begin(), sums.end(), 0.0));
}

}  // namespace

GptqResult gptq(const at::Tensor& W, const GptqFactor& factor, const QuantScheme& scheme,
                const RoundingOptions& options) {
  require(W.defined() && W.dim() == 2 && W.size(1) == factor.in,
          "GPTQ: a weight of other width than the Hessian's, ", factor.in);
  const at::Tensor original = float_matrix(W, "weight");
  require_finite(original, "weight");
  const at::Tensor w = without_columns(original, factor.excluded);
  if (!factor.usable()) return {.linear = round_to_nearest(w, scheme, options), .fell_back = true};
  GptqResult result{.linear = {.out = w.size(0), .in = factor.in, .scheme = scheme}};
  QuantizedLinear& linear = result.linear;
  linear.weight_scale = weight_scales(w, scheme.weight_bits, options);
  linear.codes.resize(static_cast<std::size_t>(linear.out * linear.in));
  std::vector<double> loss(static_cast<std::size_t>(linear.out)), part(loss.size());
  const std::int64_t step = rows_in_tile(linear.out);
  for_each_task((linear.out + step - 1) / step, [&](std::int64_t task) {
    const std::int64_t begin = task * step;
    RowTile(factor, linear, begin, std::min(linear.out, begin + step))
        .run(w, loss.data() + begin, part.data() + begin);
  });
  result.squared_error = std::accumulate(loss.begin(), loss.end(), 0.0);
  const std::vector<std::int64_t> rows = rows_to_look_at(linear.out);
  double noise = 0;
  for (const std::int64_t r : rows)
    noise += loss[static_cast<std::size_t>(r)] - part[static_cast<std::size_t>(r)];
  result.output_sqnr_db = sqnr_db(output_square(w, factor, rows), std::max(0.0, noise));
  return result;
}

}  // namespace mquant
