// Float products whose bits do not depend on the processor, the blocking or the caller's tiles.
#pragma once

#include <cstdint>

namespace mquant {

/// A matrix in memory: entry (i, j) at data[i * row_stride + j * column_stride].
struct MatrixView {
  const float* data = nullptr;
  std::int64_t row_stride = 0, column_stride = 1;
};

enum class GemmSign { add, subtract };

/// c[i, j] = (...((c[i, j] +- a[i, 0] b[0, j]) +- a[i, 1] b[1, j]) +- ...), in just this order, by
/// fused multiply-adds: a sum is rounded to float32, its product is not.
///
/// Splitting the rows or columns of c over calls or threads changes nothing, and a sum over p may
/// be cut in two calls.
///
/// @param c   [m, n], rows `c_stride` apart; read and written
/// @param a   [m, k]
/// @param b   [k, n]
/// Cost       2 m n k operations, single-threaded; up to 0.4 MB of scratch
void gemm_f32(float* c, std::int64_t c_stride, const MatrixView& a, const MatrixView& b, std::int64_t m,
              std::int64_t n, std::int64_t k, GemmSign sign = GemmSign::add);

}  // namespace mquant
