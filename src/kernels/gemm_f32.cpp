#include "kernels/gemm_f32.h"

#include <algorithm>
#include <vector>

#include "kernels/cpu.h"
#include "kernels/multiply_add.h"
#include "kernels/vector.h"
#include "mquant/error.h"

namespace mquant {
namespace {

constexpr std::int64_t kTerms = 256;  // of a panel

/// How a level multiplies: sums[Rows][Vectors] of Math in registers, beside the vectors of b and a
/// broadcast entry of a.
template <class Math, int Rows, int Vectors>
struct Shape {
  static constexpr std::int64_t kLanes = static_cast<std::int64_t>(Math::bytes / sizeof(float));
  static constexpr std::int64_t kRows = Rows, kColumns = Vectors * kLanes;  // of a tile of c
  static constexpr std::int64_t kWidth =
      256 / kColumns * kColumns;  // columns of b at a time: rows are read in one go
  static constexpr std::int64_t kBlock =
      96 / Rows * Rows;  // rows of a at a time: their panel stays in the L2 cache

  /// c[kRows][kColumns] += a[terms][kRows] * b[terms][kColumns], the terms in order.
  [[gnu::always_inline]] static inline void tile(const float* a, const float* b, std::int64_t terms, float* c,
                                                 std::int64_t c_stride) {
    using V = Vector<float, Math::bytes>;
    V sum[Rows][Vectors];
#pragma GCC unroll 12
    for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 3
      for (int v = 0; v < Vectors; ++v) sum[r][v] = load<float, Math::bytes>(c + r * c_stride + v * kLanes);
    for (std::int64_t t = 0; t < terms; ++t, a += kRows, b += kColumns) {
      V columns[Vectors];
#pragma GCC unroll 3
      for (int v = 0; v < Vectors; ++v) columns[v] = load<float, Math::bytes>(b + v * kLanes);
#pragma GCC unroll 12
      for (int r = 0; r < Rows; ++r) {
        const V entry = Math::broadcast(a[r]);
#pragma GCC unroll 3
        for (int v = 0; v < Vectors; ++v) Math::add_product(sum[r][v], entry, columns[v]);
      }
    }
#pragma GCC unroll 12
    for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 3
      for (int v = 0; v < Vectors; ++v) store<float, Math::bytes>(c + r * c_stride + v * kLanes, sum[r][v]);
  }
};

struct Portable : Shape<FusedMath, 4, 3> {
  static void run(const float* a, const float* b, std::int64_t terms, float* c, std::int64_t c_stride) {
    tile(a, b, terms, c, c_stride);
  }
};
#if defined(__x86_64__)
struct Avx2 : Shape<FusedMathOfX86<32>, 4, 3> {  // 12 sums of 16 registers
  [[gnu::target("avx2,fma")]] static void run(const float* a, const float* b, std::int64_t terms, float* c,
                                              std::int64_t c_stride) {
    tile(a, b, terms, c, c_stride);
  }
};
struct Avx512 : Shape<FusedMathOfX86<64>, 8, 3> {  // 24 sums of 32 registers
  [[gnu::target("avx512f")]] static void run(const float* a, const float* b, std::int64_t terms, float* c,
                                             std::int64_t c_stride) {
    tile(a, b, terms, c, c_stride);
  }
};
#endif

/// One operand of a product.  Lanes are rows of a or columns of b; terms are what the sums go
/// over.
struct Operand {
  const float* data = nullptr;
  std::int64_t lane_stride = 0, term_stride = 0;
  float sign = 1;
};

/// Four lanes by four terms to [terms][panel].
[[gnu::always_inline]] inline void pack_four(const float* in, std::int64_t lane_stride, float sign,
                                             float* out, std::int64_t panel) {
  using V = Vector<float, 16>;
  const V x = sign * load<float, 16>(in), y = sign * load<float, 16>(in + lane_stride),
          z = sign * load<float, 16>(in + 2 * lane_stride), w = sign * load<float, 16>(in + 3 * lane_stride);
  const V xy = __builtin_shufflevector(x, y, 0, 4, 1, 5), zw = __builtin_shufflevector(z, w, 0, 4, 1, 5),
          xy2 = __builtin_shufflevector(x, y, 2, 6, 3, 7), zw2 = __builtin_shufflevector(z, w, 2, 6, 3, 7);
  store<float, 16>(out, __builtin_shufflevector(xy, zw, 0, 1, 4, 5));
  store<float, 16>(out + panel, __builtin_shufflevector(xy, zw, 2, 3, 6, 7));
  store<float, 16>(out + 2 * panel, __builtin_shufflevector(xy2, zw2, 0, 1, 4, 5));
  store<float, 16>(out + 3 * panel, __builtin_shufflevector(xy2, zw2, 2, 3, 6, 7));
}

/// Panels of [terms][Panel] of some lanes and terms, lanes beyond the matrix 0.
template <std::int64_t Panel>
struct Packing {
  static_assert(Panel % 4 == 0);

  static void run(const Operand& from, std::int64_t first, std::int64_t lanes, std::int64_t k,
                  std::int64_t terms, float* out) {
    const std::int64_t whole = lanes / Panel * Panel;
    if (whole < lanes) std::fill_n(out + whole * terms, terms * Panel, 0.0F);
    Operand at = from;
    at.data += first * from.lane_stride + k * from.term_stride;
    if (from.lane_stride == 1)
      pack_runs_of_lanes(at, lanes, terms, out);
    else
      for (std::int64_t lane = 0; lane < lanes; lane += 4)
        pack_lanes(at, lane, std::min<std::int64_t>(4, lanes - lane), terms,
                   out + lane / Panel * Panel * terms + lane % Panel);
  }

 private:
  /// Lanes beside each other in memory: each term is read in one go.
  static void pack_runs_of_lanes(const Operand& from, std::int64_t lanes, std::int64_t terms, float* out) {
    const std::int64_t whole = lanes / Panel * Panel;
    const float sign = from.sign;
    for (std::int64_t t = 0; t < terms; ++t) {
      const float* in = from.data + t * from.term_stride;
      for (std::int64_t lane = 0; lane < whole; lane += Panel)
        for (std::int64_t i = 0; i < Panel; ++i) out[lane * terms + t * Panel + i] = sign * in[lane + i];
      for (std::int64_t lane = whole; lane < lanes; ++lane)
        out[whole * terms + t * Panel + lane - whole] = sign * in[lane];
    }
  }

  /// Up to four lanes, whatever lies between their entries.
  static void pack_lanes(const Operand& from, std::int64_t lane, std::int64_t count, std::int64_t terms,
                         float* out) {
    const float* in = from.data + lane * from.lane_stride;
    std::int64_t t = 0;
    if (from.term_stride == 1 && count == 4)
      for (; t + 4 <= terms; t += 4) pack_four(in + t, from.lane_stride, from.sign, out + t * Panel, Panel);
    for (; t < terms; ++t)
      for (std::int64_t i = 0; i < count; ++i)
        out[t * Panel + i] = from.sign * in[i * from.lane_stride + t * from.term_stride];
  }
};

/// The product for one shape of tiles.
template <class Tile>
struct Product {
  static constexpr std::int64_t kRows = Tile::kRows, kColumns = Tile::kColumns, kWidth = Tile::kWidth,
                                kBlock = Tile::kBlock;

  /// The tile at the edge of c goes through a buffer.
  static void edge_tile(const float* a, const float* b, std::int64_t terms, float* c, std::int64_t c_stride,
                        std::int64_t rows, std::int64_t columns) {
    alignas(64) float buffer[kRows * kColumns] = {};
    for (std::int64_t r = 0; r < rows; ++r) std::copy_n(c + r * c_stride, columns, buffer + r * kColumns);
    Tile::run(a, b, terms, buffer, kColumns);
    for (std::int64_t r = 0; r < rows; ++r) std::copy_n(buffer + r * kColumns, columns, c + r * c_stride);
  }

  /// c [rows, columns] from panels of a and b.
  static void multiply_panels(const float* a, const float* b, std::int64_t terms, float* c,
                              std::int64_t c_stride, std::int64_t rows, std::int64_t columns) {
    for (std::int64_t j = 0; j < columns; j += kColumns)
      for (std::int64_t r = 0; r < rows; r += kRows) {
        const float *a_tile = a + r * terms, *b_tile = b + j * terms;
        float* at = c + r * c_stride + j;
        if (rows - r >= kRows && columns - j >= kColumns)
          Tile::run(a_tile, b_tile, terms, at, c_stride);
        else
          edge_tile(a_tile, b_tile, terms, at, c_stride, std::min(kRows, rows - r),
                    std::min(kColumns, columns - j));
      }
  }

  static void run(float* c, std::int64_t c_stride, const Operand& a, const Operand& b, std::int64_t m,
                  std::int64_t n, std::int64_t k) {
    const std::int64_t most_terms = std::min(kTerms, k);
    std::vector<float> a_panels(static_cast<std::size_t>(std::min(kBlock, m + kRows) * most_terms));
    std::vector<float> b_panels(static_cast<std::size_t>(std::min(kWidth, n + kColumns) * most_terms));
    for (std::int64_t j = 0; j < n; j += kWidth)
      for (std::int64_t p = 0; p < k; p += kTerms) {
        const std::int64_t columns = std::min(kWidth, n - j), terms = std::min(kTerms, k - p);
        Packing<kColumns>::run(b, j, columns, p, terms, b_panels.data());
        for (std::int64_t i = 0; i < m; i += kBlock) {
          const std::int64_t rows = std::min(kBlock, m - i);
          Packing<kRows>::run(a, i, rows, p, terms, a_panels.data());
          multiply_panels(a_panels.data(), b_panels.data(), terms, c + i * c_stride + j, c_stride, rows,
                          columns);
        }
      }
  }
};

}  // namespace

void gemm_f32(float* c, std::int64_t c_stride, const MatrixView& a, const MatrixView& b, std::int64_t m,
              std::int64_t n, std::int64_t k, GemmSign sign) {
  require(m >= 0 && n >= 0 && k >= 0, "gemm_f32 of ", m, " x ", n, " x ", k);
  auto* run = Product<Portable>::run;
#if defined(__x86_64__)
  if (cpu_level() == CpuLevel::avx2) run = Product<Avx2>::run;
  if (cpu_level() == CpuLevel::avx512) run = Product<Avx512>::run;
#endif
  const Operand rows = {a.data, a.row_stride, a.column_stride, sign == GemmSign::add ? 1.0F : -1.0F};
  const Operand columns = {b.data, b.column_stride, b.row_stride, 1.0F};
  run(c, c_stride, rows, columns, m, n, k);
}

}  // namespace mquant
