// Exact products of integer codes, accumulated in int32: every order of summation and every processor gives one result.
#pragma once

#include <cstdint>
#include <span>

namespace mquant {

/// More terms than this might overflow int32: 131071 * 128 * 128 < 2^31.
inline constexpr std::int64_t kLongestInt8Sum = 131071;

/// c[i, j] = sum_p a[i, p] b[j, p].
///
/// @param a         [m, k], contiguous
/// @param b         [n, k], contiguous: a weight as it is stored
/// @param c         [m, n], rows `c_stride` >= n apart, so that a caller may split the columns over threads
/// @throws Error{unsupported} for k > kLongestInt8Sum; Error{internal} for negative sizes
/// Cost             2 m n k operations, single-threaded; about 0.6 MB of scratch
void gemm_s8(const std::int8_t* a, const std::int8_t* b, std::int32_t* c, std::int64_t m, std::int64_t n,
             std::int64_t k, std::int64_t c_stride);

}  // namespace mquant
