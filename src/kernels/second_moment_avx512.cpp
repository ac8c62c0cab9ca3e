// AVX-512 VNNI: vpdpbusd multiplies unsigned by signed bytes and adds groups of four, here four
// rows of a column, to int32.
//
// Codes of b become unsigned by adding 128, which is flipping their sign bit.  That adds 128 times
// the sum of a's column: sums start at minus that.
#if defined(__x86_64__)
#include <immintrin.h>

#include "kernels/second_moment_bodies.h"

namespace mquant::moments {
namespace {

constexpr int kPanel = 16, kDepth = 4;          // columns, rows: one register
constexpr int kRows = kPanel / 2, kPanels = 3;  // of a and of b at once: 24 sums of 32 registers
constexpr std::int64_t kGroupBytes = kPanel * kDepth;

#define MQUANT_AVX512_TARGET "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"

[[gnu::target(MQUANT_AVX512_TARGET)]] void lay_out(const LayoutProblem& p) {
  const __m512i ones = _mm512_set1_epi8(1);
  std::fill_n(p.sums, kMomentTile, 0);
  for_each_group<kPanel, kDepth>(
      p, kGroupBytes,
      [&](const std::int8_t* const* rows, std::uint8_t* out, std::int64_t panel)
          __attribute__((target(MQUANT_AVX512_TARGET))) {
            const auto row = [&](int d) __attribute__((target(MQUANT_AVX512_TARGET))) {
              return _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[d]));
            };
            auto* at = reinterpret_cast<__m128i*>(out);
            const __m128i low = _mm_unpacklo_epi8(row(0), row(1)), low2 = _mm_unpacklo_epi8(row(2), row(3)),
                          high = _mm_unpackhi_epi8(row(0), row(1)), high2 = _mm_unpackhi_epi8(row(2), row(3));
            _mm_storeu_si128(at, _mm_unpacklo_epi16(low, low2));
            _mm_storeu_si128(at + 1, _mm_unpackhi_epi16(low, low2));
            _mm_storeu_si128(at + 2, _mm_unpacklo_epi16(high, high2));
            _mm_storeu_si128(at + 3, _mm_unpackhi_epi16(high, high2));
            std::int32_t* sums = p.sums + panel * kPanel;
            _mm512_storeu_si512(sums,
                                _mm512_dpbusd_epi32(_mm512_loadu_si512(sums), ones, _mm512_loadu_si512(out)));
          });
}

/// Four rows of one column of a times those of 48 columns of b.  In assembly because GCC 12,
/// depending on what stands around, otherwise keeps sums in memory.
[[gnu::target(MQUANT_AVX512_TARGET), gnu::always_inline]] inline void multiply_add(
    __m512i (&sum)[kPanels], const __m512i (&b)[kPanels], const std::uint8_t* codes) {
  __m512i four;
  asm("vpbroadcastd %[codes], %[four]\n\t"
      "vpdpbusd %[four], %[b0], %[sum0]\n\t"
      "vpdpbusd %[four], %[b1], %[sum1]\n\t"
      "vpdpbusd %[four], %[b2], %[sum2]"
      : [sum0] "+v"(sum[0]), [sum1] "+v"(sum[1]), [sum2] "+v"(sum[2]), [four] "=&v"(four)
      : [b0] "v"(b[0]), [b1] "v"(b[1]), [b2] "v"(b[2]),
        [codes] "m"(*reinterpret_cast<const std::uint8_t(*)[4]>(codes)));
}

/// Sums of 16 columns to int64.  Through memory and with masks, all ones, because GCC 12 takes the
/// intrinsics that would do for reads of uninitialized registers.
[[gnu::target(MQUANT_AVX512_TARGET), gnu::always_inline]] inline void add_wide(std::int64_t* out,
                                                                               __m512i sums,
                                                                               __m512i multiplier) {
  constexpr __mmask8 kAll = 0xff;
  alignas(64) std::int32_t lanes[kPanel];
  _mm512_store_si512(lanes, sums);
#pragma GCC unroll 2
  for (int h = 0; h < kPanel; h += 8) {
    const __m512i wide =
        _mm512_maskz_cvtepi32_epi64(kAll, _mm256_load_si256(reinterpret_cast<const __m256i*>(lanes + h)));
    _mm512_storeu_si512(out + h, _mm512_add_epi64(_mm512_loadu_si512(out + h),
                                                  _mm512_maskz_mul_epi32(kAll, wide, multiplier)));
  }
}

/// kRows columns of a, half a panel, by kPanels of b.
[[gnu::target(MQUANT_AVX512_TARGET)]] void add_tile(const std::uint8_t* a, const std::int32_t* a_sums,
                                                    const BlockProblem& p, std::int64_t* out) {
  const std::int64_t stride = p.groups * kGroupBytes;
  const __m512i signs = _mm512_set1_epi8(-128);
  __m512i sum[kRows][kPanels];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) sum[r][0] = sum[r][1] = sum[r][2] = _mm512_set1_epi32(-128 * a_sums[r]);
  const std::uint8_t* b = p.b;
  for (std::int64_t g = 0; g < p.groups; ++g, a += kGroupBytes, b += kGroupBytes) {
    const __m512i columns[kPanels] = {_mm512_xor_si512(_mm512_loadu_si512(b), signs),
                                      _mm512_xor_si512(_mm512_loadu_si512(b + stride), signs),
                                      _mm512_xor_si512(_mm512_loadu_si512(b + 2 * stride), signs)};
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) multiply_add(sum[r], columns, a + kDepth * r);
  }
  const __m512i multiplier = _mm512_set1_epi64(p.multiplier);
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 3
    for (int panel = 0; panel < kPanels; ++panel)
      add_wide(out + r * kMomentTile + panel * kPanel, sum[r][panel], multiplier);
}

void add_block(const BlockProblem& p) {
  static_assert(kBlock == kPanels * kPanel);
  for (std::int64_t i = 0; i < kBlock; i += kRows)
    add_tile(p.a + i / kPanel * p.groups * kGroupBytes + i % kPanel * kDepth, p.a_sums + i, p,
             p.out + i * kMomentTile);
}

#undef MQUANT_AVX512_TARGET

}  // namespace

const Body avx512 = {kPanel, kDepth, 1, lay_out, add_block};

}  // namespace mquant::moments
#endif
