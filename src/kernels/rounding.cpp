#include "kernels/rounding.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cpu.h"
#include "kernels/nearest_code.h"
#include "kernels/vector.h"
#include "mquant/error.h"

namespace mquant {
namespace {

template <std::size_t Bytes>
using Integers = Vector<std::int32_t, Bytes>;

template <std::size_t Bytes>
[[gnu::always_inline]] inline void round_row_body(const float* w, std::int64_t n, float scale, float low,
                                                  float high, std::int8_t* codes) {
  constexpr std::int64_t kLanes = VectorOf<float, Bytes>::lanes;
  const auto round = [&](const float* from, std::int8_t* to) {
    const auto code = nearest_code<Bytes>(load<float, Bytes>(from) / scale, low, high);
    store<std::int8_t, Bytes / 4>(to, __builtin_convertvector(__builtin_convertvector(code, Integers<Bytes>),
                                                              Vector<std::int8_t, Bytes / 4>));
  };
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) round(w + i, codes + i);
  if (i == n) return;
  float padded[kLanes] = {};
  std::int8_t rest[kLanes];
  std::copy(w + i, w + n, padded);
  round(padded, rest);
  std::copy_n(rest, n - i, codes + i);
}

/// |e|^2.4 = x^1.2, x = e^2, to 5e-6.  With y near x^(-1/5), from a guess that divides the
/// exponent by -5, and t = x y^5, which is then in [0.853, 1.168]:  x^1.2 = x^2 y^4 t^-0.8.  The
/// last by a polynomial of least relative error.
template <std::size_t Bytes>
[[gnu::always_inline]] inline Vector<float, Bytes> power_of_error(const Vector<float, Bytes>& e) {
  using V = Vector<float, Bytes>;
  const V x = e * e + 1e-20F;  // of an exact zero the guess would overflow
  const V guess = 1277932000.0F - 0.2F * __builtin_convertvector(reinterpret_cast<Integers<Bytes>>(x), V);
  const V y = reinterpret_cast<V>(__builtin_convertvector(guess, Integers<Bytes>));
  const V square = y * y, root = x * (square * square), t = root * y;
  V power = 0.62674236F * t - 3.1975219F;
  power = power * t + 6.5525422F;
  power = power * t - 6.8193755F;
  power = power * t + 3.8376119F;
  return x * root * power;
}

constexpr std::int64_t kLanes = 16;  // of the sums, whatever the vectors are

/// Sum of |code - w / scale|^2.4 over one chunk: each lane by itself, then by halves.
template <std::size_t Bytes>
[[gnu::always_inline]] inline float chunk_error(const float* w, std::int64_t n, float inverse, float low,
                                                float high) {
  using V = Vector<float, Bytes>;
  constexpr std::int64_t kStep = VectorOf<float, Bytes>::lanes, kParts = kLanes / kStep;
  V sum[kParts] = {};
  float padded[kLanes] = {};
  for (std::int64_t i = 0; i < n; i += kLanes) {
    const float* at = w + i;
    if (i + kLanes > n) {
      std::copy(at, w + n, padded);
      at = padded;
    }
#pragma GCC unroll 2
    for (int part = 0; part < kParts; ++part) {
      const V u = load<float, Bytes>(at + part * kStep) * inverse;
      sum[part] += power_of_error<Bytes>(u - nearest_code<Bytes>(u, low, high));
    }
  }
  float lane[kLanes];
#pragma GCC unroll 2
  for (int part = 0; part < kParts; ++part) store<float, Bytes>(lane + part * kStep, sum[part]);
  for (std::int64_t half = kLanes / 2; half > 0; half /= 2)
    for (std::int64_t i = 0; i < half; ++i) lane[i] += lane[i + half];
  return lane[0];
}

template <std::size_t Bytes>
[[gnu::always_inline]] inline double clip_error_body(const float* w, std::int64_t n, float scale, float low,
                                                     float high, double give_up) {
  constexpr std::int64_t kChunk = 256;
  const double unit = std::pow(static_cast<double>(scale), kClipNorm);
  const float inverse = 1.0F / scale;
  double sum = 0;
  for (std::int64_t i = 0; i < n; i += kChunk) {
    sum += static_cast<double>(chunk_error<Bytes>(w + i, std::min(kChunk, n - i), inverse, low, high));
    if (sum * unit > give_up) return std::numeric_limits<double>::infinity();
  }
  return sum * unit;
}

using RoundRow = void (*)(const float*, std::int64_t, float, float, float, std::int8_t*);
using ClipError = double (*)(const float*, std::int64_t, float, float, float, double);

/// For one level of instructions.
struct Bodies {
  RoundRow round_row;
  ClipError clip_error;
};

void round_row_portable(const float* w, std::int64_t n, float scale, float low, float high,
                        std::int8_t* codes) {
  round_row_body<32>(w, n, scale, low, high, codes);
}
double clip_error_portable(const float* w, std::int64_t n, float scale, float low, float high,
                           double give_up) {
  return clip_error_body<32>(w, n, scale, low, high, give_up);
}

#if defined(__x86_64__)
[[gnu::target("avx2")]] void round_row_avx2(const float* w, std::int64_t n, float scale, float low,
                                            float high, std::int8_t* codes) {
  round_row_body<32>(w, n, scale, low, high, codes);
}
[[gnu::target("avx2")]] double clip_error_avx2(const float* w, std::int64_t n, float scale, float low,
                                               float high, double give_up) {
  return clip_error_body<32>(w, n, scale, low, high, give_up);
}
[[gnu::target("avx512f,avx512bw,avx512dq,avx512vl")]] double clip_error_avx512(const float* w, std::int64_t n,
                                                                               float scale, float low,
                                                                               float high, double give_up) {
  return clip_error_body<64>(w, n, scale, low, high, give_up);
}
#endif

Bodies bodies() {
#if defined(__x86_64__)
  switch (cpu_level()) {
    case CpuLevel::avx512: return {round_row_avx2, clip_error_avx512};
    case CpuLevel::avx2: return {round_row_avx2, clip_error_avx2};
    case CpuLevel::portable: break;
  }
#endif
  return {round_row_portable, clip_error_portable};
}

}  // namespace

CodeRange code_range(int bits) {
  require(bits == 4 || bits == 8, "weights of ", bits, " bits: expected 4 or 8");
  return bits == 4 ? CodeRange{-8, 7} : CodeRange{-127, 127};
}

void round_row(std::span<const float> w, float scale, const CodeRange& range, std::int8_t* codes) {
  const auto low = static_cast<float>(range.low), high = static_cast<float>(range.high);
  bodies().round_row(w.data(), std::ssize(w), scale, low, high, codes);
}

double clip_error(std::span<const float> w, float scale, const CodeRange& range, double give_up) {
  const auto low = static_cast<float>(range.low), high = static_cast<float>(range.high);
  return bodies().clip_error(w.data(), std::ssize(w), scale, low, high, give_up);
}

}  // namespace mquant
