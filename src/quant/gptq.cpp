#include "quant/gptq.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/gemm_f32.h"
#include "kernels/rounding.h"
#include "mquant/error.h"
#include "mquant/log.h"
#include "quant/cholesky.h"
#include "quant/parallel.h"
#include "quant/tensor_rows.h"

namespace mquant {
namespace {

constexpr std::int64_t kBlock = 128;  // columns between two products

/// Columns that no other column may compensate: without input, or excluded.
std::vector<bool> lone_columns(const at::Tensor& H, std::span<const std::int64_t> excluded) {
  const std::int64_t n = H.size(0);
  std::vector<bool> lone(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i)
    lone[static_cast<std::size_t>(i)] = !(float_row(H, i)[static_cast<std::size_t>(i)] > 0.0F);
  for (const std::int64_t i : excluded) {
    require(i >= 0 && i < n, "column ", i, " of ", n, " to be left out");
    lone[static_cast<std::size_t>(i)] = true;
  }
  return lone;
}

/// Mean of the diagonal over the other columns; 1 if there are none.
double mean_diagonal(const at::Tensor& H, const std::vector<bool>& lone) {
  double sum = 0;
  std::int64_t others = 0;
  for (std::int64_t i = 0; i < H.size(0); ++i) {
    if (lone[static_cast<std::size_t>(i)]) continue;
    sum += static_cast<double>(float_row(H, i)[static_cast<std::size_t>(i)]);
    ++others;
  }
  return others ? sum / static_cast<double>(others) : 1.0;
}

/// The last column is rounded first: the one with the largest diagonal, or column 0.
std::vector<std::int64_t> rounding_order(const at::Tensor& H, const std::vector<bool>& lone, bool act_order) {
  std::vector<std::int64_t> order(lone.size());
  std::iota(order.rbegin(), order.rend(), 0);
  const auto importance = [&](std::int64_t i) {
    return lone[static_cast<std::size_t>(i)] ? 0.0F : float_row(H, i)[static_cast<std::size_t>(i)];
  };
  if (act_order)
    std::ranges::stable_sort(order,
                             [&](std::int64_t a, std::int64_t b) { return importance(a) < importance(b); });
  return order;
}

/// H in the order of rounding, lone columns those of the identity times `unit`; the diagonal is returned apart.
at::Tensor permuted(const at::Tensor& H, const GptqFactor& factor, const std::vector<bool>& lone,
                    double unit) {
  const std::int64_t n = factor.in;
  at::Tensor result = at::empty({n, n}, at::kFloat);
  float* out = result.data_ptr<float>();
  for_each_task(n, [&](std::int64_t i) {
    const auto from = static_cast<std::size_t>(factor.column_at[static_cast<std::size_t>(i)]);
    const std::span<const float> row = float_row(H, static_cast<std::int64_t>(from));
    for (std::int64_t j = 0; j < n; ++j) {
      const auto column = static_cast<std::size_t>(factor.column_at[static_cast<std::size_t>(j)]);
      const bool paired = !lone[from] && !lone[column];
      out[i * n + j] = paired ? row[column] : (i == j ? static_cast<float>(unit) : 0.0F);
    }
  });
  return result;
}

/// Puts the lower triangle back from the upper one, which the factorization leaves as it was.
void restore_lower(float* a, std::int64_t n) {
  for_each_task(n, [&](std::int64_t i) {
    for (std::int64_t j = 0; j < i; ++j) a[i * n + j] = a[j * n + i];
  });
}

void set_diagonal(float* a, const std::vector<float>& diagonal, double damping) {
  for (std::size_t i = 0; i < diagonal.size(); ++i)
    a[i * diagonal.size() + i] = static_cast<float>(static_cast<double>(diagonal[i]) + damping);
}

}  // namespace

GptqFactor prepare_hessian(at::Tensor H, const GptqOptions& options, std::span<const std::int64_t> excluded) {
  H = float_matrix(H, "Hessian");
  require(H.size(0) == H.size(1), "Hessian of ", H.size(0), " x ", H.size(1));
  require(options.damping >= 0 && std::isfinite(options.damping), "GPTQ damping ", options.damping);
  require_finite(H, "Hessian");
  const std::vector<bool> lone = lone_columns(H, excluded);
  const double unit = mean_diagonal(H, lone);
  GptqFactor factor{.in = H.size(0),
                    .column_at = rounding_order(H, lone, options.act_order),
                    .excluded = {excluded.begin(), excluded.end()}};
  at::Tensor lower = permuted(H, factor, lone, unit);
  H.reset();
  float* a = lower.data_ptr<float>();
  std::vector<float> diagonal(lone.size());
  for (std::size_t i = 0; i < diagonal.size(); ++i) diagonal[i] = a[i * diagonal.size() + i];
  factor.damping = options.damping;
  for (int raised = 0; raised <= 2; ++raised, factor.damping *= 10) {
    if (raised > 0) restore_lower(a, factor.in);
    set_diagonal(a, diagonal, factor.damping * unit);
    if (cholesky_in_place(a, factor.in)) {
      factor.lower = lower;
      return factor;
    }
    if (raised < 2)
      warn(cat("GPTQ: the Hessian is singular with damping ", factor.damping, "; raising it tenfold"));
  }
  factor.damping /= 10;
  warn(cat("GPTQ: the Hessian is singular with damping ", factor.damping, ", too; rounding to nearest"));
  return factor;
}

namespace {

/// Rows [begin, end) of a linear.
class RowTile {
 public:
  RowTile(const GptqFactor& factor, QuantizedLinear& linear, std::int64_t begin, std::int64_t end)
      : factor_(factor),
        linear_(linear),
        begin_(begin),
        rows_(end - begin),
        n_(factor.in),
        values_(static_cast<std::size_t>(rows_ * n_)),
        pending_(static_cast<std::size_t>(rows_ * kBlock)),
        codes_(static_cast<std::size_t>(rows_ * kBlock)) {}

  /// @param loss  [rows], added to
  void run(const at::Tensor& W, double* loss) {
    gather(W);
    const std::int64_t last = (n_ - 1) / kBlock * kBlock;
    for (std::int64_t first = last; first >= 0; first -= kBlock)
      round_block(first, std::min(kBlock, n_ - first), loss);
  }

 private:
  std::size_t column(std::int64_t position) const {
    return static_cast<std::size_t>(factor_.column_at[static_cast<std::size_t>(position)]);
  }

  /// Weights in the order of rounding; they become errors as they are rounded.
  void gather(const at::Tensor& W) {
    for (std::int64_t r = 0; r < rows_; ++r) {
      const std::span<const float> row = float_row(W, begin_ + r);
      for (std::int64_t a = 0; a < n_; ++a) values_[static_cast<std::size_t>(r * n_ + a)] = row[column(a)];
    }
  }

  void round_block(std::int64_t first, std::int64_t columns, double* loss) {
    const float* lower = factor_.lower.const_data_ptr<float>();
    const std::int64_t done = first + columns;
    std::fill(pending_.begin(), pending_.end(), 0.0F);
    gemm_f32(pending_.data(), columns, {values_.data() + done, n_, 1}, {lower + done * n_ + first, n_, 1},
             rows_, columns, n_ - done);
    round_with_feedback({.rows = rows_,
                         .columns = columns,
                         .pending = pending_.data(),
                         .factor = lower + first * n_ + first,
                         .factor_stride = n_,
                         .values = values_.data() + first,
                         .value_stride = n_,
                         .codes = codes_.data(),
                         .scales = linear_.weight_scale.data() + begin_,
                         .loss = loss},
                        code_range(linear_.scheme.weight_bits));
    for (std::int64_t r = 0; r < rows_; ++r)
      for (std::int64_t a = 0; a < columns; ++a)
        linear_.codes[static_cast<std::size_t>((begin_ + r) * n_) + column(first + a)] =
            codes_[static_cast<std::size_t>(r * columns + a)];
  }

  const GptqFactor& factor_;
  QuantizedLinear& linear_;
  std::int64_t begin_, rows_, n_;
  std::vector<float> values_, pending_;
  std::vector<std::int8_t> codes_;
};

/// Enough tasks for the threads, but no more than needed: every tile reads the whole factor.
std::int64_t rows_in_tile(std::int64_t out) {
  const std::int64_t tasks = 3 * task_threads();
  return std::clamp<std::int64_t>((out / tasks + 5) / 6 * 6, 48, 192);
}

at::Tensor without_columns(const at::Tensor& W, const std::vector<std::int64_t>& columns) {
  if (columns.empty()) return W;
  at::Tensor w = W.clone();
  float* values = w.data_ptr<float>();
  for (std::int64_t r = 0; r < w.size(0); ++r)
    for (const std::int64_t column : columns) values[r * w.size(1) + column] = 0.0F;
  return w;
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
  std::vector<double> loss(static_cast<std::size_t>(linear.out));
  const std::int64_t step = rows_in_tile(linear.out);
  for_each_task((linear.out + step - 1) / step, [&](std::int64_t task) {
    const std::int64_t begin = task * step;
    RowTile(factor, linear, begin, std::min(linear.out, begin + step)).run(w, loss.data() + begin);
  });
  result.squared_error = std::accumulate(loss.begin(), loss.end(), 0.0) / 2;
  return result;
}

}  // namespace mquant
