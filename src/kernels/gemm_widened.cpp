#include "kernels/gemm_widened.h"

#include <algorithm>
#include <bit>
#include <vector>

#include "kernels/cpu.h"
#include "kernels/vector.h"
#include "mquant/error.h"

namespace mquant {
namespace {

constexpr std::int64_t kLanes = VectorOf<float>::lanes;
constexpr int kSums = 4;        // vectors of partial sums, of which each lane has every 32nd input
constexpr int kRowsAtOnce = 4;  // that share a widened weight

typedef std::uint16_t HalfWords __attribute__((vector_size(16), aligned(2), may_alias));
typedef std::int32_t Words __attribute__((vector_size(32), aligned(1), may_alias));

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
/// Code 4 l + s in lane l of vector s: bytes are taken out of their words by shifts, which are cheaper than moving them to
/// lanes of their own.  Rows of x come in that order (interleaved).
[[gnu::always_inline]] inline Widened widened(const std::int8_t* w) {
  static_assert(std::endian::native == std::endian::little && kSums == sizeof(std::int32_t));
  Widened weights{};
  const Vector<std::int32_t> words = *reinterpret_cast<const Words*>(w);
#pragma GCC unroll 4
  for (int s = 0; s < kSums; ++s)
    weights.of[s] = __builtin_convertvector((words << (24 - 8 * s)) >> 24, Vector<float>);
  return weights;
}

/// Rows whose every 32 inputs stand as widened() puts out codes; those after the last 32 stay.
std::vector<float> interleaved(const float* x, std::int64_t rows, std::int64_t in) {
  constexpr std::int64_t kBlock = kSums * kLanes;
  std::vector<float> y(x, x + rows * in);
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t i = 0; i + kBlock <= in; i += kBlock)
      for (std::int64_t j = 0; j < kBlock; ++j)
        y[static_cast<std::size_t>(r * in + i + j % kSums * kLanes + j / kSums)] = x[r * in + i + j];
  return y;
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
  auto* run = gemm_portable<Weight>;
#if defined(__x86_64__)
  if (cpu_level() >= CpuLevel::avx2) run = gemm_avx2<Weight>;
#endif
  run(x, rows, w, scale, out, in, y, stride);
}

void check_sizes(std::int64_t rows, std::int64_t out, std::int64_t in, std::int64_t stride) {
  require(rows >= 0 && out >= 0 && in >= 0 && stride >= out, "a product of ", rows, " x ", out, " x ", in);
}

}  // namespace

void gemm_bf16(const float* x, std::int64_t rows, const std::uint16_t* w, std::int64_t out, std::int64_t in,
               float* y, std::int64_t stride) {
  check_sizes(rows, out, in, stride);
  gemm(x, rows, w, nullptr, out, in, y, stride);
}

void gemm_f32_s8(const float* x, std::int64_t rows, const std::int8_t* w, const float* scale,
                 std::int64_t out, std::int64_t in, float* y, std::int64_t stride) {
  check_sizes(rows, out, in, stride);
  gemm(interleaved(x, rows, in).data(), rows, w, scale, out, in, y, stride);
}

}  // namespace mquant
