#include "kernels/gemm_f32.h"

#include <algorithm>
#include <vector>

#include "kernels/cpu.h"
#include "kernels/vector.h"
#include "mquant/error.h"

namespace mquant {
namespace {

constexpr std::int64_t kLanes = VectorOf<float>::lanes;
constexpr std::int64_t kRows = 6, kColumns = 2 * kLanes;  // of a tile of c: 12 vectors of sums, 16 registers
constexpr std::int64_t kTerms = 256;                      // of a panel
constexpr std::int64_t kWidth = 256;         // columns of b at a time: rows of b are read in one go
constexpr std::int64_t kBlock = 16 * kRows;  // rows of a at a time: their panel stays in the L2 cache

/// c[kRows][kColumns] += a[terms][kRows] * b[terms][kColumns], the terms in order.  No fused multiply-add: it rounds
/// once where others round twice.
[[gnu::always_inline]] inline void tile_body(const float* a, const float* b, std::int64_t terms, float* c,
                                             std::int64_t c_stride) {
  Vector<float> sum[kRows][2];
#pragma GCC unroll 6
  for (int r = 0; r < kRows; ++r) {
    sum[r][0] = load(c + r * c_stride);
    sum[r][1] = load(c + r * c_stride + kLanes);
  }
  for (std::int64_t t = 0; t < terms; ++t) {
    const Vector<float> left = load(b), right = load(b + kLanes);
#pragma GCC unroll 6
    for (int r = 0; r < kRows; ++r) {
      sum[r][0] += a[r] * left;
      sum[r][1] += a[r] * right;
    }
    a += kRows;
    b += kColumns;
  }
#pragma GCC unroll 6
  for (int r = 0; r < kRows; ++r) {
    store(c + r * c_stride, sum[r][0]);
    store(c + r * c_stride + kLanes, sum[r][1]);
  }
}

using Tile = void (*)(const float*, const float*, std::int64_t, float*, std::int64_t);

void tile_portable(const float* a, const float* b, std::int64_t terms, float* c, std::int64_t c_stride) {
  tile_body(a, b, terms, c, c_stride);
}

#if defined(__x86_64__)
[[gnu::target("avx2")]] void tile_avx2(const float* a, const float* b, std::int64_t terms, float* c,
                                       std::int64_t c_stride) {
  tile_body(a, b, terms, c, c_stride);
}
#endif

Tile tile_in_use() {
#if defined(__x86_64__)
  if (cpu_level() >= CpuLevel::avx2) return tile_avx2;
#endif
  return tile_portable;
}

/// Panels of [terms][kRows], rows beyond the matrix 0.
void pack_a(const MatrixView& a, std::int64_t first, std::int64_t rows, std::int64_t k, std::int64_t terms,
            float sign, float* out) {
  if (rows % kRows != 0) std::fill_n(out + rows / kRows * kRows * terms, terms * kRows, 0.0F);
  const float* in = a.data + first * a.row_stride + k * a.column_stride;
  const std::int64_t whole = rows / kRows * kRows;
  if (a.row_stride == 1) {  // a transposed: its columns are runs in memory
    for (std::int64_t t = 0; t < terms; ++t, in += a.column_stride) {
      for (std::int64_t r = 0; r < whole; r += kRows)
        for (std::int64_t i = 0; i < kRows; ++i) out[r * terms + t * kRows + i] = sign * in[r + i];
      for (std::int64_t r = whole; r < rows; ++r) out[whole * terms + t * kRows + r - whole] = sign * in[r];
    }
    return;
  }
  for (std::int64_t r = 0; r < rows; ++r) {
    float* to = out + r / kRows * kRows * terms + r % kRows;
    for (std::int64_t t = 0; t < terms; ++t)
      to[t * kRows] = sign * in[r * a.row_stride + t * a.column_stride];
  }
}

/// Panels of [terms][kColumns], columns beyond the matrix 0.
void pack_b(const MatrixView& b, std::int64_t first, std::int64_t columns, std::int64_t k, std::int64_t terms,
            float* out) {
  if (columns % kColumns != 0)
    std::fill_n(out + columns / kColumns * kColumns * terms, terms * kColumns, 0.0F);
  const std::int64_t whole = columns / kColumns * kColumns;
  if (b.column_stride == 1) {
    for (std::int64_t t = 0; t < terms; ++t) {
      const float* in = b.data + (k + t) * b.row_stride + first;
      for (std::int64_t j = 0; j < whole; j += kColumns)
        for (std::int64_t c = 0; c < kColumns; ++c) out[j * terms + t * kColumns + c] = in[j + c];
      for (std::int64_t j = whole; j < columns; ++j) out[whole * terms + t * kColumns + j - whole] = in[j];
    }
    return;
  }
  for (std::int64_t j = 0; j < columns; ++j) {
    const float* in = b.data + k * b.row_stride + (first + j) * b.column_stride;
    float* to = out + j / kColumns * kColumns * terms + j % kColumns;
    for (std::int64_t t = 0; t < terms; ++t) to[t * kColumns] = in[t * b.row_stride];
  }
}

/// The tile at the edge of c goes through a buffer.
void edge_tile(Tile tile, const float* a, const float* b, std::int64_t terms, float* c, std::int64_t c_stride,
               std::int64_t rows, std::int64_t columns) {
  alignas(64) float buffer[kRows * kColumns] = {};
  for (std::int64_t r = 0; r < rows; ++r) std::copy_n(c + r * c_stride, columns, buffer + r * kColumns);
  tile(a, b, terms, buffer, kColumns);
  for (std::int64_t r = 0; r < rows; ++r) std::copy_n(buffer + r * kColumns, columns, c + r * c_stride);
}

/// c [rows, columns] from panels of a and b.
void multiply_panels(Tile tile, const float* a, const float* b, std::int64_t terms, float* c,
                     std::int64_t c_stride, std::int64_t rows, std::int64_t columns) {
  for (std::int64_t j = 0; j < columns; j += kColumns)
    for (std::int64_t r = 0; r < rows; r += kRows) {
      const float *a_tile = a + r * terms, *b_tile = b + j * terms;
      float* at = c + r * c_stride + j;
      if (rows - r >= kRows && columns - j >= kColumns)
        tile(a_tile, b_tile, terms, at, c_stride);
      else
        edge_tile(tile, a_tile, b_tile, terms, at, c_stride, std::min(kRows, rows - r),
                  std::min(kColumns, columns - j));
    }
}

}  // namespace

void gemm_f32(float* c, std::int64_t c_stride, const MatrixView& a, const MatrixView& b, std::int64_t m,
              std::int64_t n, std::int64_t k, GemmSign sign) {
  require(m >= 0 && n >= 0 && k >= 0, "gemm_f32 of ", m, " x ", n, " x ", k);
  const Tile tile = tile_in_use();
  const float factor = sign == GemmSign::add ? 1.0F : -1.0F;
  const std::int64_t most_terms = std::min(kTerms, k);
  std::vector<float> a_panels(static_cast<std::size_t>(std::min(kBlock, m + kRows) * most_terms));
  std::vector<float> b_panels(static_cast<std::size_t>(std::min(kWidth, n + kColumns) * most_terms));
  for (std::int64_t j = 0; j < n; j += kWidth)
    for (std::int64_t p = 0; p < k; p += kTerms) {
      const std::int64_t columns = std::min(kWidth, n - j), terms = std::min(kTerms, k - p);
      pack_b(b, j, columns, p, terms, b_panels.data());
      for (std::int64_t i = 0; i < m; i += kBlock) {
        const std::int64_t rows = std::min(kBlock, m - i);
        pack_a(a, i, rows, p, terms, factor, a_panels.data());
        multiply_panels(tile, a_panels.data(), b_panels.data(), terms, c + i * c_stride + j, c_stride, rows,
                        columns);
      }
    }
}

}  // namespace mquant
