// The exponential function over a run of values, the same bits on every processor.
#pragma once

#include <cstdint>

#include "kernels/multiply_add.h"
#include "kernels/vector.h"

namespace mquant {

/// exp of each lane <= 0, to 2 units in the last place; below -87 it is 0.  NaN stays NaN.
///
/// exp(x) = 2^k exp(r), |r| <= ln(2) / 2, and a Taylor polynomial of degree 7 for exp(r).
template <class Math = SeparateMath<float>>
[[gnu::always_inline]] inline Vector<float> exp_of_nonpositive(const Vector<float>& value) {
  typedef std::int32_t Integers __attribute__((vector_size(32)));
  typedef Vector<float> Floats;
  const auto constant = [](float x) __attribute__((always_inline)) { return Floats{x, x, x, x, x, x, x, x}; };
  constexpr float kLog2High = 0.693359375F, kLog2Low = -2.12194440e-4F, kLowest = -87.0F;
  const Floats rounder = constant(12582912.0F);  // 1.5 * 2^23
  const Integers tiny = value < kLowest;
  const Floats safe = tiny ? Floats{} : value;
  const Floats k = multiply_add<Math>(safe, constant(1.44269504088896341F), rounder) - rounder;
  Floats r = multiply_add<Math>(k, constant(-kLog2High), safe);
  r = multiply_add<Math>(k, constant(-kLog2Low), r);
  Floats p = multiply_add<Math>(r, constant(1.0F / 5040), constant(1.0F / 720));
  p = multiply_add<Math>(p, r, constant(1.0F / 120));
  p = multiply_add<Math>(p, r, constant(1.0F / 24));
  p = multiply_add<Math>(p, r, constant(1.0F / 6));
  p = multiply_add<Math>(p, r, constant(0.5F));
  p = multiply_add<Math>(p * r, r, r) + 1.0F;
  // A NaN converts to some integer; NaN times the power is NaN still.
  const Integers exponent = (__builtin_convertvector(k, Integers) + 127) << 23;
  const Floats power = reinterpret_cast<Floats>(exponent);
  return tiny ? Floats{} : p * power;
}

/// The same in double, below -708: a polynomial of degree 13.
template <class Math = SeparateMath<double>>
[[gnu::always_inline]] inline Vector<double> exp_of_nonpositive(const Vector<double>& value) {
  typedef std::int64_t Integers __attribute__((vector_size(32)));
  typedef Vector<double> Doubles;
  constexpr double kLog2High = 0x1.62e42feep-1, kLog2Low = 0x1.a39ef35793c76p-33, kLowest = -708.0;
  constexpr double kRounder = 0x1.8p52;  // its sum with an integer ends with that integer's bits
  constexpr double kReciprocals[] = {
      1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320, 1.0 / 5040,
      1.0 / 720,       1.0 / 120,      1.0 / 24,      1.0 / 6,      0.5};
  const Integers tiny = value < kLowest;
  const Doubles safe = tiny ? Doubles{} : value;
  const Doubles shifted = safe * 1.4426950408889634 + kRounder;
  const Doubles k = shifted - kRounder;
  const Doubles r = (safe - k * kLog2High) - k * kLog2Low;
  Doubles p = r * (1.0 / 6227020800);
#pragma GCC unroll 11
  for (const double reciprocal : kReciprocals) p = (p + reciprocal) * r;
  p = p * r + r + 1.0;
  const Integers bits = reinterpret_cast<Integers>(shifted);
  const Doubles power = reinterpret_cast<Doubles>((bits + 1023) << 52);
  return tiny ? Doubles{} : p * power;
}

}  // namespace mquant
