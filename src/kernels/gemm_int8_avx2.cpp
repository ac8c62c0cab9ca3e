// AVX2: codes widened to int16, products added in pairs by vpmaddwd, which is exact.
//
// vpmaddubsw takes unsigned by signed bytes, twice as many, but saturates its pairs at 2^15.  Where all codes of b are
// those of int4, b + 8 is unsigned and a pair is at most 2 * 15 * 128: eight of them fit into int16.
#if defined(__x86_64__)
#include <immintrin.h>

#include "kernels/gemm_int8_blocked.h"

namespace mquant::int8 {
namespace {

/// Few rows: b is read once and nothing is packed but a.
constexpr std::int64_t kFewRows = 8;

struct WideKernel {
  using WideA = std::int16_t;
  using WideB = std::int16_t;
  static constexpr std::int64_t kRows = 6, kColumns = 16, kDepth = 2;
  static constexpr std::int32_t kOffsetA = 0, kOffsetB = 0;

  [[gnu::target("avx2")]] static void tile(const WideA* a, const WideB* b, std::int64_t steps,
                                           std::int32_t* out) {
    __m256i sum[kRows][2];
#pragma GCC unroll 6
    for (auto& row : sum) row[0] = row[1] = _mm256_setzero_si256();
    for (std::int64_t s = 0; s < steps; ++s) {
      const __m256i left = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b));
      const __m256i right = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b + 16));
#pragma GCC unroll 6
      for (int r = 0; r < kRows; ++r) {
        const __m256i pair = _mm256_broadcastd_epi32(_mm_loadu_si32(a + 2 * r));
        sum[r][0] = _mm256_add_epi32(sum[r][0], _mm256_madd_epi16(pair, left));
        sum[r][1] = _mm256_add_epi32(sum[r][1], _mm256_madd_epi16(pair, right));
      }
      a += kRows * kDepth;
      b += kColumns * kDepth;
    }
#pragma GCC unroll 6
    for (int r = 0; r < kRows; ++r) {
      _mm256_store_si256(reinterpret_cast<__m256i*>(out + r * kColumns), sum[r][0]);
      _mm256_store_si256(reinterpret_cast<__m256i*>(out + r * kColumns + 8), sum[r][1]);
    }
  }
};

struct NarrowKernel {
  using WideA = std::int8_t;
  using WideB = std::uint8_t;
  static constexpr std::int64_t kRows = 6, kColumns = 16, kDepth = 4;
  static constexpr std::int32_t kOffsetA = 0, kOffsetB = 8;
  static constexpr std::int64_t kStepsInInt16 = 8;

  [[gnu::target("avx2")]] static void tile(const WideA* a, const WideB* b, std::int64_t steps,
                                           std::int32_t* out) {
    std::fill_n(out, kRows * kColumns, 0);
    for (std::int64_t s = 0; s < steps; s += kStepsInInt16) {
      const std::int64_t count = std::min(kStepsInInt16, steps - s);
      add_steps(a + s * kRows * kDepth, b + s * kColumns * kDepth, count, out);
    }
  }

 private:
  [[gnu::target("avx2"), gnu::always_inline]] static inline void add_steps(const WideA* a, const WideB* b,
                                                                           std::int64_t steps,
                                                                           std::int32_t* out) {
    __m256i sum[kRows][2];
#pragma GCC unroll 6
    for (auto& row : sum) row[0] = row[1] = _mm256_setzero_si256();
    for (std::int64_t s = 0; s < steps; ++s) {
      const __m256i left = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b));
      const __m256i right = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b + 32));
#pragma GCC unroll 6
      for (int r = 0; r < kRows; ++r) {
        const __m256i four = _mm256_broadcastd_epi32(_mm_loadu_si32(a + 4 * r));
        sum[r][0] = _mm256_add_epi16(sum[r][0], _mm256_maddubs_epi16(left, four));
        sum[r][1] = _mm256_add_epi16(sum[r][1], _mm256_maddubs_epi16(right, four));
      }
      a += kRows * kDepth;
      b += kColumns * kDepth;
    }
    const __m256i ones = _mm256_set1_epi16(1);
#pragma GCC unroll 6
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 2
      for (int half = 0; half < 2; ++half) {
        auto* at = reinterpret_cast<__m256i*>(out + r * kColumns + 8 * half);
        _mm256_store_si256(at,
                           _mm256_add_epi32(_mm256_load_si256(at), _mm256_madd_epi16(sum[r][half], ones)));
      }
  }
};

/// Are all codes of b those of int4?  Reads b once, and no further than the first that is not.
bool is_narrow(const Problem& p) {
  for (std::int64_t j = 0; j < p.n; ++j) {
    int beyond = 0;
    for (const std::int8_t code : std::span(p.b + j * p.k, static_cast<std::size_t>(p.k)))
      beyond |= (code + 8) & ~15;
    if (beyond != 0) return false;
  }
  return true;
}

[[gnu::target("avx2")]] std::int32_t sum_of_lanes(__m256i v) {
  __m128i half = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4e));
  half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0xb1));
  return _mm_cvtsi128_si32(half);
}

/// Rows of a, up to four, against one row of b.
template <int Rows>
[[gnu::target("avx2")]] void dot_rows(const std::int8_t* a, const std::int8_t* b, std::int64_t k,
                                      std::int32_t* c, std::int64_t c_stride) {
  __m256i sum[Rows];
#pragma GCC unroll 4
  for (int r = 0; r < Rows; ++r) sum[r] = _mm256_setzero_si256();
  std::int64_t t = 0;
  for (; t + 16 <= k; t += 16) {
    const __m256i y = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(b + t)));
#pragma GCC unroll 4
    for (int r = 0; r < Rows; ++r) {
      const __m256i x =
          _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(a + r * k + t)));
      sum[r] = _mm256_add_epi32(sum[r], _mm256_madd_epi16(x, y));
    }
  }
  for (int r = 0; r < Rows; ++r) {
    std::int32_t total = sum_of_lanes(sum[r]);
    for (std::int64_t rest = t; rest < k; ++rest) total += a[r * k + rest] * b[rest];
    c[r * c_stride] = total;
  }
}

void few_rows(const Problem& p) {
  for (std::int64_t j = 0; j < p.n; ++j) {
    const std::int8_t* b = p.b + j * p.k;
    std::int64_t i = 0;
    for (; i + 4 <= p.m; i += 4) dot_rows<4>(p.a + i * p.k, b, p.k, p.c + i * p.c_stride + j, p.c_stride);
    for (; i < p.m; ++i) dot_rows<1>(p.a + i * p.k, b, p.k, p.c + i * p.c_stride + j, p.c_stride);
  }
}

}  // namespace

void gemm_avx2(const Problem& p) {
  // Also where there is nothing to sum: the blocked loops would then leave c as it was.
  if (p.m <= kFewRows || p.k == 0) return few_rows(p);
  if (is_narrow(p)) return Blocked<NarrowKernel>(p).run();
  Blocked<WideKernel>(p).run();
}

}  // namespace mquant::int8
#endif
