#include "kernels/rounding.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cpu.h"
#include "kernels/vector.h"
#include "mquant/error.h"

namespace mquant {
namespace {

constexpr float kRounder = 12582912.0F;  // 1.5 * 2^23: adding it leaves the nearest integer, ties to even
constexpr std::int64_t kLanes = VectorOf<float>::lanes;

/// The code as a float.  |w / scale| may be anything.
[[gnu::always_inline]] inline float code_of(float w, float scale, float low, float high) {
  float q = w / scale;
  q = q < high ? q : high;
  q = q > low ? q : low;
  return (q + kRounder) - kRounder;
}

[[gnu::always_inline]] inline void round_row_body(const float* w, std::int64_t n, float scale, float low,
                                                  float high, std::int8_t* codes) {
  for (std::int64_t i = 0; i < n; ++i)
    codes[i] = static_cast<std::int8_t>(static_cast<int>(code_of(w[i], scale, low, high)));
}

/// |e|^2.4 = e^2 (e^2)^(1/5).  The root by Newton's method on x^(-1/5), from a guess that divides the exponent by -5.
[[gnu::always_inline]] inline Vector<float> power_of_error(const Vector<float>& e) {
  typedef std::int32_t Integers __attribute__((vector_size(32)));
  const Vector<float> x = e * e + 1e-20F;  // of an exact zero the root's guess would overflow
  const Vector<float> guess =
      1277925000.0F - 0.2F * __builtin_convertvector(reinterpret_cast<Integers>(x), Vector<float>);
  Vector<float> y = reinterpret_cast<Vector<float>>(__builtin_convertvector(guess, Integers));
  for (int step = 0; step < 3; ++step) {
    const Vector<float> square = y * y;
    y *= 1.2F - 0.2F * x * (square * square * y);
  }
  const Vector<float> square = y * y;
  return x * (x * (square * square));
}

/// Sum of |code - w / scale|^2.4 over one chunk, in 8 lanes.
[[gnu::always_inline]] inline float chunk_error(const float* w, std::int64_t n, float inverse, float low,
                                                float high) {
  Vector<float> sum = {};
  float padded[kLanes] = {};
  for (std::int64_t i = 0; i < n; i += kLanes) {
    const float* at = w + i;
    if (i + kLanes > n) {
      std::copy(at, w + n, padded);
      at = padded;
    }
    const Vector<float> u = load(at) * inverse;
    Vector<float> q = u < high ? u : Vector<float>{} + high;
    q = q > low ? q : Vector<float>{} + low;
    q = (q + kRounder) - kRounder;
    sum += power_of_error(u - q);
  }
  float lane[kLanes];
  store(lane, sum);
  return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

[[gnu::always_inline]] inline double clip_error_body(const float* w, std::int64_t n, float scale, float low,
                                                     float high, double give_up) {
  constexpr std::int64_t kChunk = 256;
  const double unit = std::pow(static_cast<double>(scale), kClipNorm);
  const float inverse = 1.0F / scale;
  double sum = 0;
  for (std::int64_t i = 0; i < n; i += kChunk) {
    sum += static_cast<double>(chunk_error(w + i, std::min(kChunk, n - i), inverse, low, high));
    if (sum * unit > give_up) return std::numeric_limits<double>::infinity();
  }
  return sum * unit;
}

void round_row_portable(const float* w, std::int64_t n, float scale, float low, float high,
                        std::int8_t* codes) {
  round_row_body(w, n, scale, low, high, codes);
}
double clip_error_portable(const float* w, std::int64_t n, float scale, float low, float high,
                           double give_up) {
  return clip_error_body(w, n, scale, low, high, give_up);
}

#if defined(__x86_64__)
[[gnu::target("avx2")]] void round_row_avx2(const float* w, std::int64_t n, float scale, float low,
                                            float high, std::int8_t* codes) {
  round_row_body(w, n, scale, low, high, codes);
}
[[gnu::target("avx2")]] double clip_error_avx2(const float* w, std::int64_t n, float scale, float low,
                                               float high, double give_up) {
  return clip_error_body(w, n, scale, low, high, give_up);
}
bool has_avx2() { return cpu_level() >= CpuLevel::avx2; }
#else
constexpr auto round_row_avx2 = round_row_portable;
constexpr auto clip_error_avx2 = clip_error_portable;
bool has_avx2() { return false; }
#endif

}  // namespace

CodeRange code_range(int bits) {
  require(bits == 4 || bits == 8, "weights of ", bits, " bits: expected 4 or 8");
  return bits == 4 ? CodeRange{-8, 7} : CodeRange{-127, 127};
}

void round_row(std::span<const float> w, float scale, const CodeRange& range, std::int8_t* codes) {
  const auto low = static_cast<float>(range.low), high = static_cast<float>(range.high);
  (has_avx2() ? round_row_avx2 : round_row_portable)(w.data(), std::ssize(w), scale, low, high, codes);
}

double clip_error(std::span<const float> w, float scale, const CodeRange& range, double give_up) {
  const auto low = static_cast<float>(range.low), high = static_cast<float>(range.high);
  return (has_avx2() ? clip_error_avx2 : clip_error_portable)(w.data(), std::ssize(w), scale, low, high,
                                                              give_up);
}

}  // namespace mquant
