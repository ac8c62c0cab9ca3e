// From second moments to the factor that GPTQ rounds with.
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <numeric>

#include "mquant/error.h"
#include "mquant/log.h"
#include "quant/cholesky.h"
#include "quant/gptq.h"
#include "quant/parallel.h"
#include "quant/tensor_rows.h"

namespace mquant {
namespace {

/// A Hessian, wherever its entries come from.
struct Source {
  std::vector<float> diagonal;
  /// Rows [first, first + count) to out [count, width].  What it holds goes with it.
  std::function<void(std::int64_t first, std::int64_t count, float* out)> copy_rows;
  std::int64_t width() const { return std::ssize(diagonal); }
};

Source source_of(at::Tensor H) {
  H = float_matrix(H, "Hessian");
  const std::int64_t n = H.size(0);
  require(H.size(1) == n, "Hessian of ", n, " x ", H.size(1));
  require_finite(H, "Hessian");
  Source source{.diagonal = std::vector<float>(static_cast<std::size_t>(n))};
  for (std::size_t i = 0; i < source.diagonal.size(); ++i)
    source.diagonal[i] = float_row(H, static_cast<std::int64_t>(i))[i];
  source.copy_rows = [H = std::move(H), n](std::int64_t first, std::int64_t count, float* out) {
    std::copy_n(H.const_data_ptr<float>() + first * n, count * n, out);
  };
  return source;
}

/// No entry is larger than those of the diagonal: one that is finite has finite rows.
Source source_of(CodeMoments&& moments, double unit) {
  require(unit > 0 && std::isfinite(unit), "second moments in units of ", unit);
  Source source{.diagonal = std::vector<float>(static_cast<std::size_t>(moments.width()))};
  for (std::int64_t i = 0; i < moments.width(); ++i) {
    const auto value = static_cast<float>(unit * static_cast<double>(moments.entry(i, i)));
    if (!std::isfinite(value)) fail(ErrorKind::input, "Hessian[", i, ", ", i, "] is ", value);
    source.diagonal[static_cast<std::size_t>(i)] = value;
  }
  source.copy_rows = [all = std::make_shared<const CodeMoments>(std::move(moments)), unit](
                         std::int64_t first, std::int64_t count, float* out) {
    all->copy_rows(first, count, unit, out);
  };
  return source;
}

/// Columns that no other column may compensate: without input, or excluded.
std::vector<bool> lone_columns(const Source& H, std::span<const std::int64_t> excluded) {
  std::vector<bool> lone;
  for (const float x : H.diagonal) lone.push_back(!(x > 0.0F));
  for (const std::int64_t i : excluded) {
    require(i >= 0 && i < H.width(), "column ", i, " of ", H.width(), " to be left out");
    lone[static_cast<std::size_t>(i)] = true;
  }
  return lone;
}

/// Mean of the diagonal over the other columns; 1 if there are none.
double mean_diagonal(const Source& H, const std::vector<bool>& lone) {
  double sum = 0;
  std::int64_t others = 0;
  for (std::size_t i = 0; i < lone.size(); ++i) {
    if (lone[i]) continue;
    sum += static_cast<double>(H.diagonal[i]);
    ++others;
  }
  return others ? sum / static_cast<double>(others) : 1.0;
}

/// The last column is rounded first: the one with the largest diagonal, or column 0.
std::vector<std::int64_t> rounding_order(const Source& H, const std::vector<bool>& lone, bool act_order) {
  std::vector<std::int64_t> order(lone.size());
  std::iota(order.rbegin(), order.rend(), 0);
  const auto importance = [&](std::int64_t i) {
    const auto column = static_cast<std::size_t>(i);
    return lone[column] ? 0.0F : H.diagonal[column];
  };
  if (act_order)
    std::ranges::stable_sort(order,
                             [&](std::int64_t a, std::int64_t b) { return importance(a) < importance(b); });
  return order;
}

/// H in the order of rounding, lone columns those of the identity times `unit`.
///
/// Some rows at a time: they are put in order where they fit into a cache, and written once.
at::Tensor permuted(const Source& H, const std::vector<std::int64_t>& column_at,
                    const std::vector<bool>& lone, double unit) {
  constexpr std::int64_t kRows = 32;
  const std::int64_t n = H.width();
  std::vector<std::int64_t> position(lone.size());
  for (std::int64_t i = 0; i < n; ++i)
    position[static_cast<std::size_t>(column_at[static_cast<std::size_t>(i)])] = i;
  at::Tensor result = at::empty({n, n}, at::kFloat);
  float* out = result.data_ptr<float>();
  for_each_task((n + kRows - 1) / kRows, [&](std::int64_t task) {
    const std::int64_t first = task * kRows, count = std::min(kRows, n - first);
    std::vector<float> rows(static_cast<std::size_t>(count * n));
    H.copy_rows(first, count, rows.data());
    for (std::int64_t r = 0; r < count; ++r) {
      const auto from = static_cast<std::size_t>(first + r);
      float* to = out + position[from] * n;
      for (std::int64_t j = 0; j < n; ++j) {
        const std::int64_t column = column_at[static_cast<std::size_t>(j)];
        const bool paired = !lone[from] && !lone[static_cast<std::size_t>(column)];
        to[j] = paired ? rows[static_cast<std::size_t>(r * n + column)] : 0.0F;
      }
      if (lone[from]) to[position[from]] = static_cast<float>(unit);
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

/// What the factor has on its diagonal beyond the Hessian's.
std::vector<double> added_to_diagonal(const GptqFactor& factor, const std::vector<bool>& lone, double unit) {
  std::vector<double> added;
  for (const std::int64_t column : factor.column_at)
    added.push_back(factor.damping * unit + (lone[static_cast<std::size_t>(column)] ? unit : 0.0));
  return added;
}

GptqFactor factor_of(Source H, const GptqOptions& options, std::span<const std::int64_t> excluded) {
  require(options.damping >= 0 && std::isfinite(options.damping), "GPTQ damping ", options.damping);
  const std::vector<bool> lone = lone_columns(H, excluded);
  const double unit = mean_diagonal(H, lone);
  GptqFactor factor{.in = H.width(),
                    .column_at = rounding_order(H, lone, options.act_order),
                    .excluded = {excluded.begin(), excluded.end()}};
  at::Tensor lower = permuted(H, factor.column_at, lone, unit);
  H = {};
  float* a = lower.data_ptr<float>();
  std::vector<float> diagonal(lone.size());
  for (std::size_t i = 0; i < diagonal.size(); ++i) diagonal[i] = a[i * diagonal.size() + i];
  factor.damping = options.damping;
  for (int raised = 0; raised <= 2; ++raised, factor.damping *= 10) {
    if (raised > 0) restore_lower(a, factor.in);
    set_diagonal(a, diagonal, factor.damping * unit);
    if (cholesky_in_place(a, factor.in)) {
      factor.lower = lower;
      factor.added = added_to_diagonal(factor, lone, unit);
      return factor;
    }
    if (raised < 2)
      warn(cat("GPTQ: the Hessian is singular with damping ", factor.damping, "; raising it tenfold"));
  }
  factor.damping /= 10;
  warn(cat("GPTQ: the Hessian is singular with damping ", factor.damping, ", too; rounding to nearest"));
  return factor;
}

}  // namespace

GptqFactor prepare_hessian(at::Tensor H, const GptqOptions& options, std::span<const std::int64_t> excluded) {
  return factor_of(source_of(std::move(H)), options, excluded);
}

GptqFactor prepare_hessian(CodeMoments moments, double unit, const GptqOptions& options,
                           std::span<const std::int64_t> excluded) {
  return factor_of(source_of(std::move(moments), unit), options, excluded);
}

}  // namespace mquant
