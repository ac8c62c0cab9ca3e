#include "kernels/gemm_widened.h"

#include <algorithm>
#include <bit>

#include "kernels/cpu.h"
#include "kernels/vector.h"
#include "mquant/error.h"

namespace mquant {
namespace {

constexpr std::int64_t kLanes = VectorOf<float>::lanes;
constexpr int kSums = 4;        // vectors of partial sums: input i goes to lane i % 8 of sum i / 8 % 4
constexpr int kRowsAtOnce = 4;  // that share a widened weight

typedef std::uint16_t HalfWords __attribute__((vector_size(16), aligned(2), may_alias));
typedef std::int8_t Codes __attribute__((vector_size(16), aligned(1), may_alias));

/// Weights of kSums vectors.
struct Widened {
  Vector<float> of[kSums];
};

[[gnu::always_inline]] inline Widened widened(const std::uint16_t* w) {
  Widened weights{};
#pragma GCC unroll 4
  for (int s = 0; s < kSums; ++s) {
    const auto words = *reinterpret_cast<const HalfWords*>(w + s * kLanes);
    weights.of[s] = std::bit_cast<Vector<float>>(__builtin_convertvector(words, Vector<std::uint32_t>) << 16);
  }
  return weights;
}
/// By way of int16: GCC 12 takes eight bytes at a time apart one by one.
[[gnu::always_inline]] inline Widened widened(const std::int8_t* w) {
  Widened weights{};
#pragma GCC unroll 2
  for (int s = 0; s < kSums; s += 2) {
    const auto codes = *reinterpret_cast<const Codes*>(w + s * kLanes);
    const auto words = __builtin_convertvector(codes, Vector<std::int16_t>);
    const auto low = __builtin_shufflevector(words, words, 0, 1, 2, 3, 4, 5, 6, 7);
    const auto high = __builtin_shufflevector(words, words, 8, 9, 10, 11, 12, 13, 14, 15);
    weights.of[s] =
        __builtin_convertvector(__builtin_convertvector(low, Vector<std::int32_t>), Vector<float>);
    weights.of[s + 1] =
        __builtin_convertvector(__builtin_convertvector(high, Vector<std::int32_t>), Vector<float>);
  }
  return weights;
}

[[gnu::always_inline]] inline float number(std::uint16_t w) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(w) << 16);
}
[[gnu::always_inline]] inline float number(std::int8_t w) { return static_cast<float>(w); }

/// Where the sums of one output go.
struct Outputs {
  float* y;
  std::int64_t stride;
  float scale;
};

template <int Rows, class Weight>
[[gnu::always_inline]] inline void dot(const float* x, const Weight* w, std::int64_t in, const Outputs& to) {
  Vector<float> sums[Rows][kSums] = {};
  std::int64_t i = 0;
  for (; i + kSums * kLanes <= in; i += kSums * kLanes) {
    const Widened weights = widened(w + i);
#pragma GCC unroll 4
    for (int s = 0; s < kSums; ++s)
#pragma GCC unroll 4
      for (int r = 0; r < Rows; ++r) sums[r][s] += load(x + r * in + i + s * kLanes) * weights.of[s];
  }
  for (int r = 0; r < Rows; ++r) {
    float lanes[kLanes];
    store(lanes, (sums[r][0] + sums[r][1]) + (sums[r][2] + sums[r][3]));
    float total =
        ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
    for (std::int64_t t = i; t < in; ++t) total += x[r * in + t] * number(w[t]);
    to.y[r * to.stride] = total * to.scale;
  }
}

/// `scale`: of each output, or null for ones, by which a product is itself.
template <class Weight>
[[gnu::always_inline]] inline void gemm_body(const float* x, std::int64_t rows, const Weight* w,
                                             const float* scale, std::int64_t out, std::int64_t in, float* y,
                                             std::int64_t stride) {
  for (std::int64_t o = 0; o < out; ++o) {
    const float s = scale == nullptr ? 1.0F : scale[o];
    std::int64_t r = 0;
    for (; r + kRowsAtOnce <= rows; r += kRowsAtOnce)
      dot<kRowsAtOnce>(x + r * in, w + o * in, in, {y + r * stride + o, stride, s});
    for (; r < rows; ++r) dot<1>(x + r * in, w + o * in, in, {y + r * stride + o, stride, s});
  }
}

template <class Weight>
void gemm_portable(const float* x, std::int64_t rows, const Weight* w, const float* scale, std::int64_t out,
                   std::int64_t in, float* y, std::int64_t stride) {
  gemm_body(x, rows, w, scale, out, in, y, stride);
}

#if defined(__x86_64__)
template <class Weight>
[[gnu::target("avx2")]] void gemm_avx2(const float* x, std::int64_t rows, const Weight* w, const float* scale,
                                       std::int64_t out, std::int64_t in, float* y, std::int64_t stride) {
  gemm_body(x, rows, w, scale, out, in, y, stride);
}
#endif

template <class Weight>
void gemm(const float* x, std::int64_t rows, const Weight* w, const float* scale, std::int64_t out,
          std::int64_t in, float* y, std::int64_t stride) {
  require(rows >= 0 && out >= 0 && in >= 0 && stride >= out, "a product of ", rows, " x ", out, " x ", in);
  auto* run = gemm_portable<Weight>;
#if defined(__x86_64__)
  if (cpu_level() >= CpuLevel::avx2) run = gemm_avx2<Weight>;
#endif
  run(x, rows, w, scale, out, in, y, stride);
}

}  // namespace

void gemm_bf16(const float* x, std::int64_t rows, const std::uint16_t* w, std::int64_t out, std::int64_t in,
               float* y, std::int64_t stride) {
  gemm(x, rows, w, nullptr, out, in, y, stride);
}

void gemm_f32_s8(const float* x, std::int64_t rows, const std::int8_t* w, const float* scale,
                 std::int64_t out, std::int64_t in, float* y, std::int64_t stride) {
  gemm(x, rows, w, scale, out, in, y, stride);
}

}  // namespace mquant
