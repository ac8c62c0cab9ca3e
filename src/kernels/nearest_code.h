// The integer code nearest to a number, in vectors; for loops that are compiled for several
// processors.
#pragma once

#include <cstddef>

#include "kernels/vector.h"

namespace mquant {

/// Clamped to [low, high] and rounded, ties to even; x may be anything, infinity included.
template <std::size_t Bytes>
[[gnu::always_inline]] inline Vector<float, Bytes> nearest_code(const Vector<float, Bytes>& x, float low,
                                                                float high) {
  constexpr float kRounder = 12582912.0F;  // 1.5 * 2^23: adding it leaves the nearest integer
  Vector<float, Bytes> q = x < high ? x : Vector<float, Bytes>{} + high;
  q = q > low ? q : Vector<float, Bytes>{} + low;
  return (q + kRounder) - kRounder;
}

}  // namespace mquant
