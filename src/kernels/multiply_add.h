// sum + a * b, rounded once or twice: what a loop that is compiled for several processors takes as its `Math`, so that the
// same bits come out everywhere.
#pragma once

#include <cmath>
#include <cstddef>

#include "kernels/vector.h"

namespace mquant {

/// The product and the sum are rounded.
template <class T>
struct SeparateMath {
  using Real = T;
  static constexpr std::size_t bytes = VectorOf<T>::bytes;
  [[gnu::always_inline]] static T broadcast(const T& x) { return x; }  // T * Vector<T> does it
  template <class Factor>
  [[gnu::always_inline]] static void add_product(Vector<T>& sum, const Factor& a, const Vector<T>& b) {
    sum += a * b;
  }
};

/// The sum alone is rounded, by the standard library: right everywhere, slow on x86 without FMA.
struct FusedMath {
  using Real = float;
  static constexpr std::size_t bytes = VectorOf<float>::bytes;
  [[gnu::always_inline]] static Vector<float> broadcast(const float& x) { return x - Vector<float>{}; }
  [[gnu::always_inline]] static void add_product(Vector<float>& sum, const Vector<float>& a,
                                                 const Vector<float>& b) {
    for (int lane = 0; lane < VectorOf<float>::lanes; ++lane)
      sum[lane] = std::fma(a[lane], b[lane], sum[lane]);
  }
};

#if defined(__x86_64__)
/// The same by instructions, in vectors of 32 bytes (FMA) or 64 (AVX-512).  In assembly, because GCC's intrinsics cannot be
/// part of a loop that is compiled for several processors; Clang has a builtin for any.
template <std::size_t Bytes>
struct FusedMathOfX86 {
  using Real = float;
  static constexpr std::size_t bytes = Bytes;
  using Lanes = Vector<float, Bytes>;
#if defined(__clang__)
  [[gnu::always_inline]] static Lanes broadcast(const float& x) { return x - Lanes{}; }
  [[gnu::always_inline]] static void add_product(Lanes& sum, const Lanes& a, const Lanes& b) {
    sum = __builtin_elementwise_fma(a, b, sum);
  }
#else
  [[gnu::always_inline]] static Lanes broadcast(const float& x) {
    Lanes lanes;
    asm("vbroadcastss %1, %0" : "=v"(lanes) : "m"(x));
    return lanes;
  }
  [[gnu::always_inline]] static void add_product(Lanes& sum, const Lanes& a, const Lanes& b) {
    asm("vfmadd231ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
  }
#endif
};
#endif

/// a * b + c.
template <class Math>
[[gnu::always_inline]] inline auto multiply_add(const Vector<typename Math::Real, Math::bytes>& a,
                                                const Vector<typename Math::Real, Math::bytes>& b,
                                                Vector<typename Math::Real, Math::bytes> c) {
  Math::add_product(c, a, b);
  return c;
}

}  // namespace mquant
