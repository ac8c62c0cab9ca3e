#include "kernels/rope_rows.h"

#include <algorithm>

#include "kernels/cpu.h"
#include "kernels/vector.h"
#include "mquant/error.h"

namespace mquant {
namespace {

constexpr int kLanes = VectorOf<float>::lanes;

/// What holds a pair: floats, or vectors of them.
template <class Real>
struct Pair {
  Real a, b;
};

template <class Real>
[[gnu::always_inline]] inline Pair<Real> turned(const Real& a, const Real& b, const Real& cos,
                                                const Real& sin) {
  return {a * cos - b * sin, b * cos + a * sin};
}

[[gnu::always_inline]] inline void turn_halves(const float* x, const float* cos, const float* sin,
                                               std::int64_t half, float* out) {
  std::int64_t j = 0;
  for (; j + kLanes <= half; j += kLanes) {
    const auto pair = turned(load(x + j), load(x + half + j), load(cos + j), load(sin + j));
    store<float>(out + j, pair.a);
    store<float>(out + half + j, pair.b);
  }
  for (; j < half; ++j) {
    const auto pair = turned(x[j], x[half + j], cos[j], sin[j]);
    out[j] = pair.a;
    out[half + j] = pair.b;
  }
}

[[gnu::always_inline]] inline void turn_neighbours(const float* x, const float* cos, const float* sin,
                                                   std::int64_t half, float* out) {
  std::int64_t j = 0;
  for (; j + kLanes <= half; j += kLanes) {
    const Vector<float> low = load(x + 2 * j), high = load(x + 2 * j + kLanes);
    const Vector<float> a = __builtin_shufflevector(low, high, 0, 2, 4, 6, 8, 10, 12, 14),
                        b = __builtin_shufflevector(low, high, 1, 3, 5, 7, 9, 11, 13, 15);
    const auto pair = turned(a, b, load(cos + j), load(sin + j));
    store<float>(out + 2 * j, __builtin_shufflevector(pair.a, pair.b, 0, 8, 1, 9, 2, 10, 3, 11));
    store<float>(out + 2 * j + kLanes, __builtin_shufflevector(pair.a, pair.b, 4, 12, 5, 13, 6, 14, 7, 15));
  }
  for (; j < half; ++j) {
    const auto pair = turned(x[2 * j], x[2 * j + 1], cos[j], sin[j]);
    out[2 * j] = pair.a;
    out[2 * j + 1] = pair.b;
  }
}

[[gnu::always_inline]] inline void turn(const RopeRows& p) {
  const std::int64_t half = p.dims / 2;
  for (std::int64_t row = 0; row < p.rows; ++row)
    for (std::int64_t head = 0; head < p.heads; ++head) {
      const float* x = p.x + row * p.x_stride + head * p.head_dim;
      float* out = p.out + row * p.out_stride + head * p.head_dim;
      const float *cos = p.cos + row * half, *sin = p.sin + row * half;
      p.neighbours ? turn_neighbours(x, cos, sin, half, out) : turn_halves(x, cos, sin, half, out);
      if (x != out) std::copy(x + p.dims, x + p.head_dim, out + p.dims);
    }
}

void turn_portable(const RopeRows& p) { turn(p); }

#if defined(__x86_64__)
[[gnu::target("avx2")]] void turn_avx2(const RopeRows& p) { turn(p); }
#endif

}  // namespace

void rope_rows(const RopeRows& problem) {
  require(problem.rows >= 0 && problem.heads >= 0 && problem.dims >= 0 && problem.dims % 2 == 0 &&
              problem.dims <= problem.head_dim,
          "rope of ", problem.rows, " rows and ", problem.heads, " heads: ", problem.dims, " of ",
          problem.head_dim, " dimensions");
#if defined(__x86_64__)
  if (cpu_level() >= CpuLevel::avx2) return turn_avx2(problem);
#endif
  turn_portable(problem);
}

}  // namespace mquant
