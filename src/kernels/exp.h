// The exponential function over a run of values, the same bits on every processor.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/vector.h"

namespace mquant {

/// exp of each lane <= 0, to 2 units in the last place; below -87 it is 0.  NaN stays NaN.
///
/// exp(x) = 2^k exp(r), |r| <= ln(2) / 2, and a Taylor polynomial of degree 7 for exp(r).
[[gnu::always_inline]] inline Vector<float> exp_of_nonpositive(const Vector<float>& value) {
  typedef std::int32_t Integers __attribute__((vector_size(32)));
  constexpr float kRounder = 12582912.0F;  // 1.5 * 2^23
  constexpr float kLog2High = 0.693359375F, kLog2Low = -2.12194440e-4F, kLowest = -87.0F;
  const Integers tiny = value < kLowest;
  const Vector<float> safe = tiny ? Vector<float>{} : value;
  const Vector<float> k = (safe * 1.44269504088896341F + kRounder) - kRounder;
  const Vector<float> r = (safe - k * kLog2High) - k * kLog2Low;
  Vector<float> p = r * (1.0F / 5040) + 1.0F / 720;
  p = p * r + 1.0F / 120;
  p = p * r + 1.0F / 24;
  p = p * r + 1.0F / 6;
  p = p * r + 0.5F;
  p = p * r * r + r + 1.0F;
  // A NaN converts to some integer; NaN times the power is NaN still.
  const Integers exponent = (__builtin_convertvector(k, Integers) + 127) << 23;
  const Vector<float> power = reinterpret_cast<Vector<float>>(exponent);
  return tiny ? Vector<float>{} : p * power;
}

/// The same in double, by the standard library.
inline Vector<double> exp_of_nonpositive(Vector<double> value) {
  for (int lane = 0; lane < VectorOf<double>::lanes; ++lane) value[lane] = std::exp(value[lane]);
  return value;
}

}  // namespace mquant
