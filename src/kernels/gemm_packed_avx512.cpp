// AVX-512 VNNI: vpdpbusd multiplies unsigned weights by signed codes and adds groups of four to int32, exactly.
//
// The two planes of an int8 weight are put together again while they are unpacked: one product a weight.
#if defined(__x86_64__)
#include <immintrin.h>

#include <algorithm>
#include <cstring>

#include "kernels/gemm_packed_bodies.h"

namespace mquant::packed {
namespace {

constexpr std::int64_t kFewRows = 2;
constexpr std::int64_t kSteps = 8;
constexpr std::int64_t kRunGroups = 64;     // unpacked at a time: 64 KB
constexpr std::int64_t kGroupBytes = 1024;  // [steps][2][16 outputs][4]
constexpr int kTileRows = 12;

#define MQUANT_AVX512 [[gnu::target("avx512f,avx512bw,avx512vnni"), gnu::always_inline]] inline

MQUANT_AVX512 __m512i four_codes(const std::int8_t* a) {
  std::int32_t bytes = 0;
  std::memcpy(&bytes, a, sizeof(bytes));
  return _mm512_set1_epi32(bytes);
}

/// One step of a panel: outputs 0-7 and 16-23, and 8-15 and 24-31, four inputs each, as unsigned bytes.
struct StepWeights {
  __m512i low, high;
};
MQUANT_AVX512 StepWeights step_weights(const std::uint8_t* step, std::int64_t planes) {
  const __m512i mask = _mm512_set1_epi8(15);
  const __m512i bytes = _mm512_loadu_si512(step);
  StepWeights w{_mm512_and_si512(bytes, mask), _mm512_and_si512(_mm512_srli_epi16(bytes, 4), mask)};
  if (planes == 2) {
    const __m512i upper = _mm512_loadu_si512(step + kPlaneBytes);
    w.low = _mm512_or_si512(w.low, _mm512_slli_epi16(_mm512_and_si512(upper, mask), 4));
    w.high = _mm512_or_si512(w.high, _mm512_and_si512(upper, _mm512_set1_epi8(-16)));
  }
  return w;
}

/// Lanes to the order of outputs.  No calls here: sums that live across one would stay in memory all the time.
MQUANT_AVX512 void store_sums(std::int32_t* sums, __m512i low, __m512i high, bool first) {
  alignas(64) std::int32_t lanes[kPanelOutputs];
  _mm512_store_si512(lanes, low);
  _mm512_store_si512(lanes + 16, high);
#pragma GCC unroll 4
  for (int part = 0; part < 4; ++part) {
    __m256i eight = _mm256_load_si256(reinterpret_cast<const __m256i*>(lanes + part % 2 * 16 + part / 2 * 8));
    auto* at = reinterpret_cast<__m256i*>(sums + 8 * part);
    if (!first) eight = _mm256_add_epi32(eight, _mm256_loadu_si256(at));
    _mm256_storeu_si256(at, eight);
  }
}

/// One row's four codes times 32 outputs, added to its sums.  In assembly because GCC 12, depending on what stands around,
/// otherwise keeps the sums in memory: at little more than half the speed.
MQUANT_AVX512 void multiply_add_row(__m512i (&sum)[2], __m512i left, __m512i right,
                                    const std::int8_t* codes) {
  __m512i four;
  asm("vpbroadcastd %[codes], %[four]\n\t"
      "vpdpbusd %[four], %[left], %[sum0]\n\t"
      "vpdpbusd %[four], %[right], %[sum1]"
      : [sum0] "+v"(sum[0]), [sum1] "+v"(sum[1]), [four] "=&v"(four)
      : [left] "v"(left), [right] "v"(right), [codes] "m"(*reinterpret_cast<const std::int8_t(*)[4]>(codes)));
}

template <int Rows>
[[gnu::target("avx512f,avx512bw,avx512vnni")]] void tile(const std::int8_t* a, std::int64_t stride,
                                                         const std::uint8_t* b, std::int64_t groups,
                                                         std::int32_t* sums, bool first) {
  __m512i sum[Rows][2];
#pragma GCC unroll 12
  for (auto& row : sum) row[0] = row[1] = _mm512_setzero_si512();
  for (std::int64_t s = 0; s < groups * kSteps; ++s) {
    const __m512i left = _mm512_loadu_si512(b), right = _mm512_loadu_si512(b + 64);
#pragma GCC unroll 12
    for (int r = 0; r < Rows; ++r) multiply_add_row(sum[r], left, right, a + r * stride);
    a += 4;
    b += 128;
  }
#pragma GCC unroll 12
  for (int r = 0; r < Rows; ++r) store_sums(sums + r * kPanelOutputs, sum[r][0], sum[r][1], first);
}

using Tile = void (*)(const std::int8_t*, std::int64_t, const std::uint8_t*, std::int64_t, std::int32_t*,
                      bool);
constexpr Tile kTiles[kTileRows + 1] = {nullptr, tile<1>, tile<2>, tile<3>,  tile<4>,  tile<5>, tile<6>,
                                        tile<7>, tile<8>, tile<9>, tile<10>, tile<11>, tile<12>};

[[gnu::target("avx512f,avx512bw,avx512vnni")]] void unpack(const std::uint8_t* group, std::int64_t planes,
                                                           std::uint8_t* out) {
  for (std::int64_t s = 0; s < kSteps; ++s) {
    const StepWeights w = step_weights(group + s * 64, planes);
    _mm512_storeu_si512(out + s * 128, w.low);
    _mm512_storeu_si512(out + s * 128 + 64, w.high);
  }
}

void many_rows(const PanelProblem& p) {
  p.scratch->unpacked.resize(static_cast<std::size_t>(kRunGroups * kGroupBytes));
  std::uint8_t* unpacked = p.scratch->unpacked.data();
  for (std::int64_t begin = 0; begin < p.groups; begin += kRunGroups) {
    const std::int64_t groups = std::min(kRunGroups, p.groups - begin);
    for (std::int64_t g = 0; g < groups; ++g)
      unpack(p.panel + (begin + g) * p.planes * kPlaneBytes, p.planes, unpacked + g * kGroupBytes);
    for (std::int64_t r = 0; r < p.rows; r += kTileRows) {
      const auto rows = static_cast<std::size_t>(std::min<std::int64_t>(kTileRows, p.rows - r));
      kTiles[rows](p.a + r * p.stride() + begin * kGroupInputs, p.stride(), unpacked, groups,
                   p.sums + r * kPanelOutputs, begin == 0);
    }
  }
}

[[gnu::target("avx512f,avx512bw,avx512vnni")]] void one_row(const std::int8_t* a, const PanelProblem& p,
                                                            std::int32_t* sums) {
  __m512i low = _mm512_setzero_si512(), high = low;
  const std::uint8_t* b = p.panel;
  for (std::int64_t g = 0; g < p.groups; ++g, a += kGroupInputs, b += p.planes * kPlaneBytes)
#pragma GCC unroll 8
    for (std::int64_t s = 0; s < kSteps; ++s) {
      const StepWeights w = step_weights(b + s * 64, p.planes);
      const __m512i four = four_codes(a + 4 * s);
      low = _mm512_dpbusd_epi32(low, w.low, four);
      high = _mm512_dpbusd_epi32(high, w.high, four);
    }
  store_sums(sums, low, high, true);
}

#undef MQUANT_AVX512

}  // namespace

void sums_avx512(const PanelProblem& p) {
  if (p.rows > kFewRows) return many_rows(p);
  for (std::int64_t r = 0; r < p.rows; ++r) one_row(p.a + r * p.stride(), p, p.sums + r * kPanelOutputs);
}

}  // namespace mquant::packed
#endif
