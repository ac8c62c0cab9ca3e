#include "kernels/peaks.h"

#include <array>

#include "kernels/vector.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace mquant {
namespace {

// Sums in flight: 12 hide the latency of every instruction here at two a cycle, and fit into 16 registers with the
// operands.  AVX-512 has 32.
constexpr int kSums = 12;
constexpr int kWideSums = 24;

// 16 bytes: what every processor has.
typedef std::int16_t Words __attribute__((vector_size(16)));
typedef float Floats __attribute__((vector_size(16)));

/// From here on the compiler takes `x` for another value, so a product of it is computed anew.  No instruction.
template <class V>
[[gnu::always_inline]] inline void change(V& x) {
#if defined(__x86_64__)
  asm("" : "+x"(x));
#elif defined(__aarch64__)
  asm("" : "+w"(x));
#else
  asm("" : "+m"(x));
#endif
}

/// Somebody reads `x`, as far as the compiler can tell.
template <class V>
[[gnu::always_inline]] inline void use(const V& x) {
#if defined(__x86_64__)
  asm volatile("" : : "x"(x));
#elif defined(__aarch64__)
  asm volatile("" : : "w"(x));
#else
  asm volatile("" : : "m"(x));
#endif
}

template <class V>
void multiply_add_portable(std::int64_t rounds) {
  std::array<V, kSums> sums{};
  V a{}, b{};
  change(b);
  for (V& sum : sums) change(sum);
  for (std::int64_t i = 0; i < rounds; ++i)
#pragma GCC unroll 12
    for (V& sum : sums) {
      change(a);
      sum += a * b;
    }
  for (const V& sum : sums) use(sum);
}

#if defined(__x86_64__)
// The same for vectors of 32 and 64 bytes, which only functions for such processors may have.
template <class V>
[[gnu::target("avx2"), gnu::always_inline]] inline void change_avx2(V& x) {
  asm("" : "+x"(x));
}
template <class V>
[[gnu::target("avx2"), gnu::always_inline]] inline void use_avx2(const V& x) {
  asm volatile("" : : "x"(x));
}
template <class V>
[[gnu::target("avx512f"), gnu::always_inline]] inline void change_avx512(V& x) {
  asm("" : "+v"(x));
}
template <class V>
[[gnu::target("avx512f"), gnu::always_inline]] inline void use_avx512(const V& x) {
  asm volatile("" : : "v"(x));
}

[[gnu::target("avx2")]] void bytes_avx2(std::int64_t rounds) {
  __m256i sums[kSums], a = _mm256_setzero_si256(), b = a;
  change_avx2(b);
#pragma GCC unroll 12
  for (__m256i& sum : sums) change_avx2(sum = a);
  for (std::int64_t i = 0; i < rounds; ++i)
#pragma GCC unroll 12
    for (__m256i& sum : sums) {
      change_avx2(a);
      sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(a, b));
    }
#pragma GCC unroll 12
  for (const __m256i& sum : sums) use_avx2(sum);
}

[[gnu::target("avx2")]] void floats_avx2(std::int64_t rounds) {
  __m256 sums[kSums], a = _mm256_setzero_ps(), b = a;
  change_avx2(b);
#pragma GCC unroll 12
  for (__m256& sum : sums) change_avx2(sum = a);
  for (std::int64_t i = 0; i < rounds; ++i)
#pragma GCC unroll 12
    for (__m256& sum : sums) {
      change_avx2(a);
      sum = _mm256_add_ps(sum, _mm256_mul_ps(a, b));
    }
#pragma GCC unroll 12
  for (const __m256& sum : sums) use_avx2(sum);
}

[[gnu::target("avx2,fma")]] void floats_fma(std::int64_t rounds) {
  __m256 sums[kSums], a = _mm256_setzero_ps(), b = a;
  change_avx2(b);
#pragma GCC unroll 12
  for (__m256& sum : sums) change_avx2(sum = a);
  for (std::int64_t i = 0; i < rounds; ++i)
#pragma GCC unroll 12
    for (__m256& sum : sums) sum = _mm256_fmadd_ps(a, b, sum);
#pragma GCC unroll 12
  for (const __m256& sum : sums) use_avx2(sum);
}

[[gnu::target("avx512f,avx512bw,avx512vnni")]] void bytes_avx512(std::int64_t rounds) {
  __m512i sums[kWideSums], a = _mm512_setzero_si512(), b = a;
  change_avx512(b);
#pragma GCC unroll 24
  for (__m512i& sum : sums) change_avx512(sum = a);
  for (std::int64_t i = 0; i < rounds; ++i)
#pragma GCC unroll 24
    for (__m512i& sum : sums) sum = _mm512_dpbusd_epi32(sum, a, b);
#pragma GCC unroll 24
  for (const __m512i& sum : sums) use_avx512(sum);
}

[[gnu::target("avx512f")]] void floats_avx512(std::int64_t rounds) {
  __m512 sums[kSums], a = _mm512_setzero_ps(), b = a;
  change_avx512(b);
#pragma GCC unroll 12
  for (__m512& sum : sums) change_avx512(sum = a);
  for (std::int64_t i = 0; i < rounds; ++i)
#pragma GCC unroll 12
    for (__m512& sum : sums) {
      change_avx512(a);
      sum = _mm512_add_ps(sum, _mm512_mul_ps(a, b));
    }
#pragma GCC unroll 12
  for (const __m512& sum : sums) use_avx512(sum);
}

[[gnu::target("avx512f")]] void floats_fma_avx512(std::int64_t rounds) {
  __m512 sums[kWideSums], a = _mm512_setzero_ps(), b = a;
  change_avx512(b);
#pragma GCC unroll 24
  for (__m512& sum : sums) change_avx512(sum = a);
  for (std::int64_t i = 0; i < rounds; ++i)
#pragma GCC unroll 24
    for (__m512& sum : sums) sum = _mm512_fmadd_ps(a, b, sum);
#pragma GCC unroll 24
  for (const __m512& sum : sums) use_avx512(sum);
}
#endif

std::uint32_t read_words_portable(std::span<const std::uint32_t> words) {
  std::array<std::uint32_t, 32> sums{};
  std::size_t i = 0;
  for (; i + sums.size() <= words.size(); i += sums.size())
    for (std::size_t lane = 0; lane < sums.size(); ++lane) sums[lane] += words[i + lane];
  std::uint32_t total = 0;
  for (const std::uint32_t sum : sums) total += sum;
  for (; i < words.size(); ++i) total += words[i];
  return total;
}

}  // namespace

PeakLoop integer_peak_loop(CpuLevel level) {
#if defined(__x86_64__)
  if (level == CpuLevel::avx512) return {"vpdpbusd (512 bits)", 2 * 64 * kWideSums, bytes_avx512};
  if (level == CpuLevel::avx2) return {"vpmaddubsw + vpaddw (256 bits)", 2 * 32 * kSums, bytes_avx2};
#endif
  return {"16-bit multiply + add (128 bits)", 2 * 8 * kSums, multiply_add_portable<Words>};
}

std::vector<PeakLoop> float32_peak_loops(CpuLevel level) {
#if defined(__x86_64__)
  if (level == CpuLevel::avx512)
    return {{"multiply + add (512 bits)", 2 * 16 * kSums, floats_avx512},
            {"fused multiply-add (512 bits)", 2 * 16 * kWideSums, floats_fma_avx512}};
  if (level == CpuLevel::avx2)
    return {{"multiply + add (256 bits)", 2 * 8 * kSums, floats_avx2},
            {"fused multiply-add (256 bits)", 2 * 8 * kSums, floats_fma}};
#endif
  return {{"multiply + add (128 bits)", 2 * 4 * kSums, multiply_add_portable<Floats>}};
}

std::uint32_t read_words(std::span<const std::uint32_t> words) { return read_words_portable(words); }

}  // namespace mquant
