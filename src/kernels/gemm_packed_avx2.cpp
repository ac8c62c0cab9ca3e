// AVX2: unsigned nibbles by signed bytes through vpmaddubsw, eight steps of a group added up in int16, which cannot
// saturate (packed_weight.h), then widened to int32 by vpmaddwd with ones, or with sixteens for the high plane.
//
// Many rows: half a panel (16 outputs) is unpacked to bytes for a run of inputs that stays in the cache, and all rows go
// through it.  Few rows: nibbles are unpacked in registers, so that the weight is read once and nothing is written.
#if defined(__x86_64__)
#include <immintrin.h>

#include <algorithm>

#include "kernels/gemm_packed_bodies.h"

namespace mquant::packed {
namespace {

constexpr std::int64_t kFewRows = 4;
constexpr std::int64_t kSteps = 8;         // of four inputs, in a group
constexpr std::int64_t kRunGroups = 32;    // unpacked at a time: 16 KB of int4, twice that of int8: the L1 cache
constexpr std::int64_t kHalfBytes = 512;   // a group of half a panel, unpacked: [steps][16 outputs][4]
constexpr int kTileRows = 6;

#define MQUANT_AVX2 [[gnu::target("avx2"), gnu::always_inline]] inline

MQUANT_AVX2 __m256i load_bytes(const void* bytes) { return _mm256_loadu_si256(static_cast<const __m256i*>(bytes)); }
MQUANT_AVX2 __m256i four_codes(const std::int8_t* a) { return _mm256_broadcastd_epi32(_mm_loadu_si32(a)); }

/// sum += pairs of weights times codes, in int16.  In assembly because GCC 12 otherwise computes all products of a step
/// before the sums, and spills: at a third of the speed.
MQUANT_AVX2 void multiply_add(__m256i& sum, __m256i weights, __m256i codes) {
  __m256i products;
  asm("vpmaddubsw %[codes], %[weights], %[products]\n\t"
      "vpaddw %[products], %[sum], %[sum]"
      : [sum] "+x"(sum), [products] "=&x"(products)
      : [weights] "x"(weights), [codes] "x"(codes));
}

/// Nibbles of half a panel to bytes, [groups][planes][steps][16 outputs][4].
[[gnu::target("avx2")]] void unpack_half(const std::uint8_t* panel, std::int64_t half, std::int64_t planes,
                                         std::uint8_t* out) {
  const __m256i low = _mm256_set1_epi8(15);
  for (std::int64_t i = 0; i < planes * kSteps; ++i) {
    const __m256i bytes = load_bytes(panel + i * 64 + half * 32);
    auto* at = reinterpret_cast<__m256i*>(out + i * 64);
    _mm256_storeu_si256(at, _mm256_and_si256(bytes, low));
    _mm256_storeu_si256(at + 1, _mm256_and_si256(_mm256_srli_epi16(bytes, 4), low));
  }
}

/// Rows rows through the steps of one plane of half a panel, in int16.
template <int Rows>
MQUANT_AVX2 void add_steps(const std::int8_t* a, std::int64_t stride, const std::uint8_t* b, __m256i (*sum)[2]) {
#pragma GCC unroll 6
  for (int r = 0; r < Rows; ++r) sum[r][0] = sum[r][1] = _mm256_setzero_si256();
#pragma GCC unroll 1
  for (std::int64_t s = 0; s < kSteps; ++s) {
    const __m256i left = load_bytes(b), right = load_bytes(b + 32);
#pragma GCC unroll 6
    for (int r = 0; r < Rows; ++r) {
      const __m256i four = four_codes(a + r * stride);
      multiply_add(sum[r][0], left, four);
      multiply_add(sum[r][1], right, four);
    }
    a += 4;
    b += 64;
  }
}

/// Rows rows through unpacked groups of half a panel; adds to sums[r * kPanelOutputs ..+16] unless `first`.
template <int Rows>
[[gnu::target("avx2")]] void tile(const std::int8_t* a, std::int64_t stride, const std::uint8_t* b,
                                  std::int64_t groups, std::int64_t planes, std::int32_t* sums, bool first) {
  if (first)
    for (int r = 0; r < Rows; ++r) std::fill_n(sums + r * kPanelOutputs, 16, 0);
  for (std::int64_t g = 0; g < groups; ++g, a += kGroupInputs)
    for (std::int64_t plane = 0; plane < planes; ++plane, b += kHalfBytes) {
      __m256i sum[Rows][2];
      add_steps<Rows>(a, stride, b, sum);
      const __m256i weight = _mm256_set1_epi16(plane == 0 ? 1 : 16);
#pragma GCC unroll 6
      for (int r = 0; r < Rows; ++r)
#pragma GCC unroll 2
        for (int h = 0; h < 2; ++h) {
          auto* at = reinterpret_cast<__m256i*>(sums + r * kPanelOutputs + h * 8);
          _mm256_storeu_si256(at, _mm256_add_epi32(_mm256_loadu_si256(at), _mm256_madd_epi16(sum[r][h], weight)));
        }
    }
}

using Tile = void (*)(const std::int8_t*, std::int64_t, const std::uint8_t*, std::int64_t, std::int64_t,
                      std::int32_t*, bool);
constexpr Tile kTiles[kTileRows + 1] = {nullptr, tile<1>, tile<2>, tile<3>, tile<4>, tile<5>, tile<6>};

void many_rows(const PanelProblem& p) {
  p.scratch->unpacked.resize(static_cast<std::size_t>(kRunGroups * 2 * kHalfBytes));
  std::uint8_t* unpacked = p.scratch->unpacked.data();
  for (std::int64_t half = 0; half < 2; ++half)
    for (std::int64_t begin = 0; begin < p.groups; begin += kRunGroups) {
      const std::int64_t groups = std::min(kRunGroups, p.groups - begin);
      for (std::int64_t g = 0; g < groups; ++g)
        unpack_half(p.panel + (begin + g) * p.planes * kPlaneBytes, half, p.planes,
                    unpacked + g * p.planes * kHalfBytes);
      for (std::int64_t r = 0; r < p.rows; r += kTileRows) {
        const auto rows = static_cast<std::size_t>(std::min<std::int64_t>(kTileRows, p.rows - r));
        kTiles[rows](p.a + r * p.stride() + begin * kGroupInputs, p.stride(), unpacked, groups, p.planes,
                     p.sums + r * kPanelOutputs + half * 16, begin == 0);
      }
    }
}

/// One row against a whole panel.
[[gnu::target("avx2")]] void one_row(const std::int8_t* a, const std::uint8_t* b, std::int64_t groups,
                                     std::int64_t planes, std::int32_t* sums) {
  const __m256i low = _mm256_set1_epi8(15);
  __m256i wide[4];
#pragma GCC unroll 4
  for (auto& w : wide) w = _mm256_setzero_si256();
  for (std::int64_t g = 0; g < groups; ++g, a += kGroupInputs)
    for (std::int64_t plane = 0; plane < planes; ++plane, b += kPlaneBytes) {
      __m256i sum[4];
#pragma GCC unroll 4
      for (auto& x : sum) x = _mm256_setzero_si256();
#pragma GCC unroll 2
      for (std::int64_t s = 0; s < kSteps; ++s) {
        const __m256i four = four_codes(a + 4 * s);
#pragma GCC unroll 2
        for (int half = 0; half < 2; ++half) {
          const __m256i bytes = load_bytes(b + s * 64 + half * 32);
          multiply_add(sum[2 * half], _mm256_and_si256(bytes, low), four);
          multiply_add(sum[2 * half + 1], _mm256_and_si256(_mm256_srli_epi16(bytes, 4), low), four);
        }
      }
      const __m256i weight = _mm256_set1_epi16(plane == 0 ? 1 : 16);
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) wide[i] = _mm256_add_epi32(wide[i], _mm256_madd_epi16(sum[i], weight));
    }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums + 8 * i), wide[i]);
}

#undef MQUANT_AVX2

}  // namespace

void sums_avx2(const PanelProblem& p) {
  if (p.rows > kFewRows) return many_rows(p);
  for (std::int64_t r = 0; r < p.rows; ++r)
    one_row(p.a + r * p.stride(), p.panel, p.groups, p.planes, p.sums + r * kPanelOutputs);
}

}  // namespace mquant::packed
#endif
