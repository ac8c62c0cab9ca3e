// AVX2: codes in int16, pairs of rows multiplied and added to int32 by vpmaddwd.
//
// vpmaddubsw takes twice as many, but the sums of its pairs in int16 would have to be widened at
// once: two products of 127 * 127 nearly fill them.
#if defined(__x86_64__)
#include <immintrin.h>

#include "kernels/second_moment_bodies.h"

namespace mquant::moments {
namespace {

constexpr int kPanel = 8, kDepth = 2;           // columns, rows: one register
constexpr int kRows = kPanel / 2, kPanels = 3;  // of a and of b at once: 12 sums of 16 registers
constexpr std::int64_t kGroup = kPanel * kDepth;

/// Two rows of one column of a times those of 24 columns of b.  In assembly because all 16
/// registers are in use: 12 sums, two of b, the codes, a product.
[[gnu::target("avx2"), gnu::always_inline]] inline void multiply_add(__m256i (&sum)[kPanels], __m256i b0,
                                                                     __m256i b1, const std::int16_t* b2,
                                                                     const std::int16_t* codes) {
  __m256i two, products;
  asm("vpbroadcastd %[codes], %[two]\n\t"
      "vpmaddwd %[two], %[b0], %[products]\n\t"
      "vpaddd %[products], %[sum0], %[sum0]\n\t"
      "vpmaddwd %[two], %[b1], %[products]\n\t"
      "vpaddd %[products], %[sum1], %[sum1]\n\t"
      "vpmaddwd %[b2], %[two], %[two]\n\t"
      "vpaddd %[two], %[sum2], %[sum2]"
      : [sum0] "+x"(sum[0]), [sum1] "+x"(sum[1]), [sum2] "+x"(sum[2]), [two] "=&x"(two),
        [products] "=&x"(products)
      : [b0] "x"(b0), [b1] "x"(b1), [b2] "m"(*reinterpret_cast<const std::int16_t(*)[kGroup]>(b2)),
        [codes] "m"(*reinterpret_cast<const std::int16_t(*)[2]>(codes)));
}

/// kRows columns of a, half a panel, by kPanels of b.
[[gnu::target("avx2")]] void add_tile(const std::int16_t* a, const std::int16_t* b, const BlockProblem& p,
                                      std::int64_t* out) {
  const std::int64_t stride = p.groups * kGroup;
  __m256i sum[kRows][kPanels];
#pragma GCC unroll 4
  for (auto& row : sum) row[0] = row[1] = row[2] = _mm256_setzero_si256();
  for (std::int64_t g = 0; g < p.groups; ++g, a += kGroup, b += kGroup) {
    const __m256i b0 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b)),
                  b1 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b + stride));
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) multiply_add(sum[r], b0, b1, b + 2 * stride, a + kDepth * r);
  }
  const __m256i multiplier = _mm256_set1_epi64x(p.multiplier);
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 6
    for (int half = 0; half < 2 * kPanels; ++half) {
      const __m256i pair = sum[r][half / 2];
      const __m256i wide = _mm256_cvtepi32_epi64(half % 2 == 0 ? _mm256_castsi256_si128(pair)
                                                               : _mm256_extracti128_si256(pair, 1));
      auto* at = reinterpret_cast<__m256i*>(out + r * kMomentTile + 4 * half);
      _mm256_storeu_si256(at, _mm256_add_epi64(_mm256_loadu_si256(at), _mm256_mul_epi32(wide, multiplier)));
    }
}

void add_block(const BlockProblem& p) {
  static_assert(kBlock % (kPanels * kPanel) == 0);
  const auto *a = reinterpret_cast<const std::int16_t*>(p.a), *b = reinterpret_cast<const std::int16_t*>(p.b);
  for (std::int64_t j = 0; j < kBlock; j += kPanels * kPanel)
    for (std::int64_t i = 0; i < kBlock; i += kRows)
      add_tile(a + i / kPanel * p.groups * kGroup + i % kPanel * kDepth, b + j * p.groups * kDepth, p,
               p.out + i * kMomentTile + j);
}

}  // namespace

const Body avx2 = {kPanel, kDepth, sizeof(std::int16_t), lay_out_pairs, add_block};

}  // namespace mquant::moments
#endif
