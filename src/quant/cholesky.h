// Cholesky factorization of a large matrix, the same bits for any number of threads.
#pragma once

#include <cstdint>

namespace mquant {

/// A = L L^T: the lower triangle of a [n, n], contiguous, is replaced by L; the strict upper triangle stays, so that a
/// symmetric matrix can be put back from it.  Returns false, half done, if a pivot is not positive and finite.
/// Cost  n^3 / 3 operations over all threads; a tile of scratch
bool cholesky_in_place(float* a, std::int64_t n);

}  // namespace mquant
