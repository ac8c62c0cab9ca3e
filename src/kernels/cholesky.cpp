#include "kernels/cholesky.h"

#include <cmath>
#include <vector>

#include "kernels/cpu.h"
#include "kernels/vector.h"

namespace mquant {
namespace {

constexpr std::int64_t kLanes = VectorOf<float>::lanes;

/// Forward substitution, column by column, four rows at a time.  `upper` is L^T with zeros on and below the diagonal,
/// [n, padded]: whole vectors can be taken from it.
template <int Rows>
[[gnu::always_inline]] inline void solve_rows(const float* upper, const float* diagonal, std::int64_t n,
                                              std::int64_t padded, float* x) {
  for (std::int64_t p = 0; p < n; ++p) {
    float solved[Rows];
    for (int r = 0; r < Rows; ++r) solved[r] = x[r * padded + p] /= diagonal[p];
    for (std::int64_t j = (p + 1) / kLanes * kLanes; j < padded; j += kLanes) {
      const Vector<float> row = load(upper + p * padded + j);
      for (int r = 0; r < Rows; ++r)
        store<float>(x + r * padded + j, load(x + r * padded + j) - solved[r] * row);
    }
  }
}

constexpr int kTogether = 4;
using Solve = void (*)(const float*, const float*, std::int64_t, std::int64_t, float*);

void solve_portable(const float* upper, const float* diagonal, std::int64_t n, std::int64_t padded,
                    float* x) {
  solve_rows<kTogether>(upper, diagonal, n, padded, x);
}
#if defined(__x86_64__)
[[gnu::target("avx2")]] void solve_avx2(const float* upper, const float* diagonal, std::int64_t n,
                                        std::int64_t padded, float* x) {
  solve_rows<kTogether>(upper, diagonal, n, padded, x);
}
#endif

}  // namespace

bool cholesky_tile(float* a, std::int64_t n, std::int64_t stride) {
  for (std::int64_t j = 0; j < n; ++j) {
    float* row = a + j * stride;
    float pivot = row[j];
    for (std::int64_t p = 0; p < j; ++p) pivot -= row[p] * row[p];
    if (!(pivot > 0.0F) || !std::isfinite(pivot)) return false;
    row[j] = std::sqrt(pivot);
    for (std::int64_t i = j + 1; i < n; ++i) {
      float* below = a + i * stride;
      float sum = below[j];
      for (std::int64_t p = 0; p < j; ++p) sum -= below[p] * row[p];
      below[j] = sum / row[j];
    }
  }
  return true;
}

void solve_tile(const float* l, std::int64_t l_stride, std::int64_t n, float* x, std::int64_t x_stride,
                std::int64_t rows) {
  const std::int64_t padded = (n + kLanes - 1) / kLanes * kLanes;
  std::vector<float> upper(static_cast<std::size_t>(n * padded)), diagonal(static_cast<std::size_t>(n));
  for (std::int64_t j = 0; j < n; ++j) {
    diagonal[static_cast<std::size_t>(j)] = l[j * l_stride + j];
    for (std::int64_t p = 0; p < j; ++p)
      upper[static_cast<std::size_t>(p * padded + j)] = l[j * l_stride + p];
  }
  Solve solve = solve_portable;
#if defined(__x86_64__)
  if (cpu_level() >= CpuLevel::avx2) solve = solve_avx2;
#endif
  std::vector<float> buffer(static_cast<std::size_t>(kTogether * padded));
  for (std::int64_t r = 0; r < rows; r += kTogether) {
    const std::int64_t count = rows - r < kTogether ? rows - r : kTogether;
    for (std::int64_t i = 0; i < count; ++i)
      for (std::int64_t j = 0; j < n; ++j)
        buffer[static_cast<std::size_t>(i * padded + j)] = x[(r + i) * x_stride + j];
    solve(upper.data(), diagonal.data(), n, padded, buffer.data());
    for (std::int64_t i = 0; i < count; ++i)
      for (std::int64_t j = 0; j < n; ++j)
        x[(r + i) * x_stride + j] = buffer[static_cast<std::size_t>(i * padded + j)];
  }
}

}  // namespace mquant
