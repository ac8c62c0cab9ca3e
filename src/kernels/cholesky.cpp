#include "kernels/cholesky.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "kernels/cpu.h"
#include "kernels/multiply_add.h"
#include "kernels/vector.h"

namespace mquant {
namespace {

/// Columns of some rows side by side, [n, rows]: rows are lanes, each on its own.
///
/// Both loops subtract products in the order of the columns, by fused multiply-adds.
template <class Math>
struct Columns {
  static constexpr std::size_t kBytes = Math::bytes;
  static constexpr std::int64_t kLanes = VectorOf<float, kBytes>::lanes;
  static constexpr int kVectors = 4;
  using V = Vector<float, kBytes>;

  /// sum = column j + sum_p negative[p] * column p over the columns before it, for kVectors
  /// vectors of rows.
  [[gnu::always_inline]] static inline void subtract(const float* negative, std::int64_t j,
                                                     const float* columns, std::int64_t rows,
                                                     V (&sum)[kVectors]) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sum[v] = load<float, kBytes>(columns + j * rows + v * kLanes);
    for (std::int64_t p = 0; p < j; ++p) {
      const V factor = Math::broadcast(negative[p]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v)
        Math::add_product(sum[v], factor, load<float, kBytes>(columns + p * rows + v * kLanes));
    }
  }
};

/// Rows at once, on every processor: four vectors of AVX-512, twice four of the others.
constexpr std::int64_t kRows = 64;

struct SolveProblem {
  const float* negative;  // [n, n], minus L
  const float* diagonal;  // [n], of L
  std::int64_t n;
  float* columns;  // [n, kRows]
};

template <class Math>
[[gnu::always_inline]] inline void solve_body(const SolveProblem& s) {
  using C = Columns<Math>;
  constexpr std::int64_t kStep = C::kVectors * C::kLanes;
  static_assert(kRows % kStep == 0);
  for (std::int64_t first = 0; first < kRows; first += kStep)
    for (std::int64_t j = 0; j < s.n; ++j) {
      typename C::V sum[C::kVectors];
      C::subtract(s.negative + j * s.n, j, s.columns + first, kRows, sum);
#pragma GCC unroll 4
      for (int v = 0; v < C::kVectors; ++v)
        store<float, C::kBytes>(s.columns + j * kRows + first + v * C::kLanes, sum[v] / s.diagonal[j]);
    }
}

/// A triangle by its columns; rows beyond n, and above the diagonal, hold nothing that counts.
struct FactorProblem {
  std::int64_t n, rows;  // rows: n up to a multiple of kRows
  float* columns;        // [n, rows]: of A, then of L
};

template <class Math>
[[gnu::always_inline]] inline bool factor_body(const FactorProblem& f) {
  using C = Columns<Math>;
  constexpr std::int64_t kStep = C::kVectors * C::kLanes;
  std::vector<float> negative(static_cast<std::size_t>(f.n));
  for (std::int64_t j = 0; j < f.n; ++j) {
    for (std::int64_t p = 0; p < j; ++p) negative[static_cast<std::size_t>(p)] = -f.columns[p * f.rows + j];
    float* column = f.columns + j * f.rows;
    for (std::int64_t first = j / kStep * kStep; first < f.rows; first += kStep) {
      typename C::V sum[C::kVectors];
      C::subtract(negative.data(), j, f.columns + first, f.rows, sum);
#pragma GCC unroll 4
      for (int v = 0; v < C::kVectors; ++v) store<float, C::kBytes>(column + first + v * C::kLanes, sum[v]);
    }
    if (!(column[j] > 0.0F) || !std::isfinite(column[j])) return false;
    const float root = std::sqrt(column[j]);
    column[j] = root;
    for (std::int64_t i = j + 1; i < f.n; ++i) column[i] /= root;
  }
  return true;
}

void solve_portable(const SolveProblem& s) { solve_body<FusedMath>(s); }
bool factor_portable(const FactorProblem& f) { return factor_body<FusedMath>(f); }
#if defined(__x86_64__)
[[gnu::target("avx2,fma")]] void solve_avx2(const SolveProblem& s) { solve_body<FusedMathOfX86<32>>(s); }
[[gnu::target("avx512f")]] void solve_avx512(const SolveProblem& s) { solve_body<FusedMathOfX86<64>>(s); }
[[gnu::target("avx2,fma")]] bool factor_avx2(const FactorProblem& f) {
  return factor_body<FusedMathOfX86<32>>(f);
}
[[gnu::target("avx512f")]] bool factor_avx512(const FactorProblem& f) {
  return factor_body<FusedMathOfX86<64>>(f);
}
#endif

}  // namespace

bool cholesky_tile(float* a, std::int64_t n, std::int64_t stride) {
  const std::int64_t rows = (n + kRows - 1) / kRows * kRows;
  std::vector<float> columns(static_cast<std::size_t>(n * rows));
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j <= i; ++j) columns[static_cast<std::size_t>(j * rows + i)] = a[i * stride + j];
  auto* factor = factor_portable;
#if defined(__x86_64__)
  if (cpu_level() == CpuLevel::avx2) factor = factor_avx2;
  if (cpu_level() == CpuLevel::avx512) factor = factor_avx512;
#endif
  if (!factor({n, rows, columns.data()})) return false;
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j <= i; ++j) a[i * stride + j] = columns[static_cast<std::size_t>(j * rows + i)];
  return true;
}

void solve_tile(const float* l, std::int64_t l_stride, std::int64_t n, float* x, std::int64_t x_stride,
                std::int64_t rows) {
  std::vector<float> negative(static_cast<std::size_t>(n * n)), diagonal(static_cast<std::size_t>(n)),
      columns(static_cast<std::size_t>(n * kRows));
  for (std::int64_t j = 0; j < n; ++j) {
    diagonal[static_cast<std::size_t>(j)] = l[j * l_stride + j];
    std::transform(l + j * l_stride, l + j * l_stride + j, negative.data() + j * n, std::negate<>());
  }
  auto* solve = solve_portable;
#if defined(__x86_64__)
  if (cpu_level() == CpuLevel::avx2) solve = solve_avx2;
  if (cpu_level() == CpuLevel::avx512) solve = solve_avx512;
#endif
  for (std::int64_t r = 0; r < rows; r += kRows) {
    const std::int64_t count = std::min(kRows, rows - r);
    for (std::int64_t i = 0; i < count; ++i)
      for (std::int64_t j = 0; j < n; ++j)
        columns[static_cast<std::size_t>(j * kRows + i)] = x[(r + i) * x_stride + j];
    solve({negative.data(), diagonal.data(), n, columns.data()});
    for (std::int64_t i = 0; i < count; ++i)
      for (std::int64_t j = 0; j < n; ++j)
        x[(r + i) * x_stride + j] = columns[static_cast<std::size_t>(j * kRows + i)];
  }
}

}  // namespace mquant
