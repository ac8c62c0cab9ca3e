#include "kernels/gemm_bf16.h"

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

[[gnu::always_inline]] inline Vector<float> widened(const std::uint16_t* w) {
  const auto words = *reinterpret_cast<const HalfWords*>(w);
  return std::bit_cast<Vector<float>>(__builtin_convertvector(words, Vector<std::uint32_t>) << 16);
}

template <int Rows>
[[gnu::always_inline]] inline void dot(const float* x, const std::uint16_t* w, std::int64_t in, float* y,
                                       std::int64_t stride) {
  Vector<float> sums[Rows][kSums] = {};
  std::int64_t i = 0;
  for (; i + kSums * kLanes <= in; i += kSums * kLanes)
#pragma GCC unroll 4
    for (int s = 0; s < kSums; ++s) {
      const Vector<float> weight = widened(w + i + s * kLanes);
#pragma GCC unroll 4
      for (int r = 0; r < Rows; ++r) sums[r][s] += load(x + r * in + i + s * kLanes) * weight;
    }
  for (int r = 0; r < Rows; ++r) {
    float lanes[kLanes];
    store(lanes, (sums[r][0] + sums[r][1]) + (sums[r][2] + sums[r][3]));
    float total = ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
    for (std::int64_t t = i; t < in; ++t)
      total += x[r * in + t] * std::bit_cast<float>(static_cast<std::uint32_t>(w[t]) << 16);
    y[r * stride] = total;
  }
}

[[gnu::always_inline]] inline void gemm_body(const float* x, std::int64_t rows, const std::uint16_t* w,
                                             std::int64_t out, std::int64_t in, float* y, std::int64_t stride) {
  for (std::int64_t o = 0; o < out; ++o) {
    std::int64_t r = 0;
    for (; r + kRowsAtOnce <= rows; r += kRowsAtOnce)
      dot<kRowsAtOnce>(x + r * in, w + o * in, in, y + r * stride + o, stride);
    for (; r < rows; ++r) dot<1>(x + r * in, w + o * in, in, y + r * stride + o, stride);
  }
}

void gemm_portable(const float* x, std::int64_t rows, const std::uint16_t* w, std::int64_t out, std::int64_t in,
                   float* y, std::int64_t stride) {
  gemm_body(x, rows, w, out, in, y, stride);
}

#if defined(__x86_64__)
[[gnu::target("avx2")]] void gemm_avx2(const float* x, std::int64_t rows, const std::uint16_t* w,
                                       std::int64_t out, std::int64_t in, float* y, std::int64_t stride) {
  gemm_body(x, rows, w, out, in, y, stride);
}
#endif

}  // namespace

void gemm_bf16(const float* x, std::int64_t rows, const std::uint16_t* w, std::int64_t out, std::int64_t in, float* y,
               std::int64_t stride) {
  require(rows >= 0 && out >= 0 && in >= 0 && stride >= out, "gemm_bf16 of ", rows, " x ", out, " x ", in);
  auto* gemm = gemm_portable;
#if defined(__x86_64__)
  if (cpu_level() >= CpuLevel::avx2) gemm = gemm_avx2;
#endif
  gemm(x, rows, w, out, in, y, stride);
}

}  // namespace mquant
