#include "quant/cholesky.h"

#include <algorithm>
#include <vector>

#include "kernels/cholesky.h"
#include "kernels/gemm_f32.h"
#include "quant/parallel.h"

namespace mquant {
namespace {

constexpr std::int64_t kColumns = 96;  // of a step: whole tiles of gemm_f32
constexpr std::int64_t kRows = 192;    // of a task

/// a[row.., first..] -= L[row.., 0..first] L[first.., 0..first]^T, for the columns of one step.
void subtract_earlier(float* a, std::int64_t n, std::int64_t row, std::int64_t rows, std::int64_t first,
                      std::int64_t columns, float* c, std::int64_t c_stride) {
  gemm_f32(c, c_stride, {a + row * n, n, 1}, {a + first * n, 1, n}, rows, columns, first, GemmSign::subtract);
}

/// The tile on the diagonal goes through a copy, whose upper half may be spoiled.
bool factor_diagonal(float* a, std::int64_t n, std::int64_t first, std::int64_t columns) {
  std::vector<float> tile(static_cast<std::size_t>(columns * columns));
  float* corner = a + first * n + first;
  for (std::int64_t i = 0; i < columns; ++i) std::copy_n(corner + i * n, i + 1, tile.data() + i * columns);
  subtract_earlier(a, n, first, columns, first, columns, tile.data(), columns);
  if (!cholesky_tile(tile.data(), columns, columns)) return false;
  for (std::int64_t i = 0; i < columns; ++i) std::copy_n(tile.data() + i * columns, i + 1, corner + i * n);
  return true;
}

}  // namespace

bool cholesky_in_place(float* a, std::int64_t n) {
  for (std::int64_t first = 0; first < n; first += kColumns) {
    const std::int64_t columns = std::min(kColumns, n - first);
    if (!factor_diagonal(a, n, first, columns)) return false;
    const std::int64_t below = first + columns;
    for_each_task((n - below + kRows - 1) / kRows, [&](std::int64_t task) {
      const std::int64_t row = below + task * kRows, rows = std::min(kRows, n - row);
      float* at = a + row * n + first;
      subtract_earlier(a, n, row, rows, first, columns, at, n);
      solve_tile(a + first * n + first, n, columns, at, n, rows);
    });
  }
  return true;
}

}  // namespace mquant
