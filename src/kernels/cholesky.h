// The two small steps of a blocked Cholesky factorization; gemm_f32 does the rest.
#pragma once

#include <cstdint>

namespace mquant {

/// A = L L^T for a small tile: the lower triangle is replaced by L, the upper one neither read nor
/// written.  Products are subtracted in the order of the columns, by fused multiply-adds; so they
/// are in solve_tile. Returns false, with the tile as it was, for a pivot that is not positive and
/// finite.
bool cholesky_tile(float* a, std::int64_t n, std::int64_t stride);

/// x <- x L^-T for the rows of x [rows, n], L [n, n] lower triangular with a positive diagonal.
void solve_tile(const float* l, std::int64_t l_stride, std::int64_t n, float* x, std::int64_t x_stride,
                std::int64_t rows);

}  // namespace mquant
