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
constexpr std::int64_t kBlock = 32 * kRows;  // rows of a at a time: their panel stays in the L2 cache

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

/// [terms][kRows], rows beyond the matrix 0.
void pack_a(const MatrixView& a, std::int64_t first, std::int64_t rows, std::int64_t k, std::int64_t terms,
            float sign, float* out) {
  if (a.row_stride == 1 && rows == kRows) {
    const float* in = a.data + first + k * a.column_stride;
    for (std::int64_t t = 0; t < terms; ++t, in += a.column_stride)
      for (std::int64_t r = 0; r < kRows; ++r) out[t * kRows + r] = sign * in[r];
    return;
  }
  for (std::int64_t r = 0; r < kRows; ++r) {
    const float* in = a.data + (first + r) * a.row_stride + k * a.column_stride;
    for (std::int64_t t = 0; t < terms; ++t)
      out[t * kRows + r] = r < rows ? sign * in[t * a.column_stride] : 0.0F;
  }
}

/// [terms][kColumns], columns beyond the matrix 0.
void pack_b(const MatrixView& b, std::int64_t first, std::int64_t columns, std::int64_t k, std::int64_t terms,
            float* out) {
  if (columns < kColumns) std::fill_n(out, terms * kColumns, 0.0F);
  if (b.column_stride == 1) {
    for (std::int64_t t = 0; t < terms; ++t)
      std::copy_n(b.data + (k + t) * b.row_stride + first, columns, out + t * kColumns);
    return;
  }
  for (std::int64_t j = 0; j < columns; ++j) {
    const float* in = b.data + k * b.row_stride + (first + j) * b.column_stride;
    for (std::int64_t t = 0; t < terms; ++t) out[t * kColumns + j] = in[t * b.row_stride];
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

}  // namespace

void gemm_f32(float* c, std::int64_t c_stride, const MatrixView& a, const MatrixView& b, std::int64_t m,
              std::int64_t n, std::int64_t k, GemmSign sign) {
  require(m >= 0 && n >= 0 && k >= 0, "gemm_f32 of ", m, " x ", n, " x ", k);
  const Tile tile = tile_in_use();
  const float factor = sign == GemmSign::add ? 1.0F : -1.0F;
  std::vector<float> a_panel(static_cast<std::size_t>(std::min(kBlock, m + kRows) * kTerms));
  std::vector<float> b_panel(static_cast<std::size_t>(kColumns * kTerms));
  for (std::int64_t i = 0; i < m; i += kBlock)
    for (std::int64_t p = 0; p < k; p += kTerms) {
      const std::int64_t rows = std::min(kBlock, m - i), terms = std::min(kTerms, k - p);
      for (std::int64_t r = 0; r < rows; r += kRows)
        pack_a(a, i + r, std::min(kRows, rows - r), p, terms, factor, a_panel.data() + r * terms);
      for (std::int64_t j = 0; j < n; j += kColumns) {
        const std::int64_t columns = std::min(kColumns, n - j);
        pack_b(b, j, columns, p, terms, b_panel.data());
        for (std::int64_t r = 0; r < rows; r += kRows) {
          float* at = c + (i + r) * c_stride + j;
          const float* a_tile = a_panel.data() + r * terms;
          if (rows - r >= kRows && columns == kColumns)
            tile(a_tile, b_panel.data(), terms, at, c_stride);
          else
            edge_tile(tile, a_tile, b_panel.data(), terms, at, c_stride, std::min(kRows, rows - r), columns);
        }
      }
    }
}

}  // namespace mquant
