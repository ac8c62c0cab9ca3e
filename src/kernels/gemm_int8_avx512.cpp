// AVX-512 VNNI: vpdpbusd multiplies unsigned by signed bytes and adds groups of four to int32, without saturation.
// Codes of a are made unsigned by adding 128; 128 times the sum of b's column is then taken away.  The sums wrap modulo
// 2^32 on the way, the result does not.
#if defined(__x86_64__)
#include <immintrin.h>

#include <cstring>

#include "kernels/gemm_int8_blocked.h"

namespace mquant::int8 {
namespace {

struct VnniKernel {
  using WideA = std::uint8_t;
  using WideB = std::int8_t;
  static constexpr std::int64_t kRows = 12, kColumns = 32, kDepth = 4;
  static constexpr std::int32_t kOffsetA = 128, kOffsetB = 0;

  [[gnu::target("avx512f,avx512bw,avx512vnni")]] static void tile(const WideA* a, const WideB* b,
                                                                  std::int64_t steps, std::int32_t* out) {
    __m512i sum[kRows][2];
#pragma GCC unroll 12
    for (auto& row : sum) row[0] = row[1] = _mm512_setzero_si512();
    for (std::int64_t s = 0; s < steps; ++s) {
      const __m512i left = _mm512_loadu_si512(b);
      const __m512i right = _mm512_loadu_si512(b + 64);
#pragma GCC unroll 12
      for (int r = 0; r < kRows; ++r) {
        std::int32_t bytes = 0;
        std::memcpy(&bytes, a + 4 * r, sizeof(bytes));
        const __m512i four = _mm512_set1_epi32(bytes);
        sum[r][0] = _mm512_dpbusd_epi32(sum[r][0], four, left);
        sum[r][1] = _mm512_dpbusd_epi32(sum[r][1], four, right);
      }
      a += kRows * kDepth;
      b += kColumns * kDepth;
    }
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) {
      _mm512_store_si512(out + r * kColumns, sum[r][0]);
      _mm512_store_si512(out + r * kColumns + 16, sum[r][1]);
    }
  }
};

}  // namespace

void gemm_avx512(const Problem& p) {
  if (p.m <= 8 || p.k == 0) return gemm_avx2(p);  // bound by reading b, whatever the instructions
  Blocked<VnniKernel>(p).run();
}

}  // namespace mquant::int8
#endif
