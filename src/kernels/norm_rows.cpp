#include "kernels/norm_rows.h"

#include <algorithm>
#include <cmath>

#include "kernels/cpu.h"
#include "kernels/vector.h"
#include "mquant/error.h"

namespace mquant {
namespace {

constexpr std::int64_t kLanes = 16;  // of a sum: lane l takes the values at l, l + 16, ...
constexpr int kStep = VectorOf<double>::lanes, kParts = static_cast<int>(kLanes) / kStep;

typedef float Quad __attribute__((vector_size(16)));
typedef float UnalignedQuad __attribute__((vector_size(16), aligned(4), may_alias));

[[gnu::always_inline]] inline Vector<double> load_doubles(const float* x) {
  return __builtin_convertvector(static_cast<Quad>(*reinterpret_cast<const UnalignedQuad*>(x)),
                                 Vector<double>);
}

[[gnu::always_inline]] inline Vector<float> rounded(const Vector<double>& low, const Vector<double>& high) {
  return __builtin_shufflevector(__builtin_convertvector(low, Quad), __builtin_convertvector(high, Quad), 0,
                                 1, 2, 3, 4, 5, 6, 7);
}

/// The sum of term(x) over a row; lanes are added pairwise.
template <class Term>
[[gnu::always_inline]] inline double sum_of(const float* x, std::int64_t width, const Term& term) {
  Vector<double> sum[kParts] = {};
  const std::int64_t whole = width / kLanes * kLanes;
  for (std::int64_t i = 0; i < whole; i += kLanes)
#pragma GCC unroll 4
    for (int v = 0; v < kParts; ++v) sum[v] += term(load_doubles(x + i + v * kStep));
  double lane[kLanes];
  for (int v = 0; v < kParts; ++v) store<double>(lane + v * kStep, sum[v]);
  if (whole < width) {
    float rest[kLanes] = {};
    std::copy(x + whole, x + width, rest);
    for (int v = 0; v < kParts; ++v) {
      double terms[kStep];
      store<double>(terms, term(load_doubles(rest + v * kStep)));
      for (int l = 0; l < kStep && whole + v * kStep + l < width; ++l) lane[v * kStep + l] += terms[l];
    }
  }
  for (std::int64_t half = kLanes / 2; half > 0; half /= 2)
    for (std::int64_t l = 0; l < half; ++l) lane[l] += lane[l + half];
  return lane[0];
}

/// out = scale * (x * factor) + shift, where x is taken less `mean` first if `centred`.
template <bool centred>
[[gnu::always_inline]] inline void scaled_row(const NormRows& p, const float* x, double mean, float factor,
                                              float* out) {
  constexpr int kFloats = VectorOf<float>::lanes;
  const auto block = [&](const float* in, const float* scale, const float* shift, float* to)
                         __attribute__((always_inline)) {
                           Vector<float> y;
                           if constexpr (centred)
                             y = rounded(load_doubles(in) - mean, load_doubles(in + kStep) - mean);
                           else
                             y = load(in);
                           y *= factor;
                           if (scale) y *= load(scale);
                           if (shift) y += load(shift);
                           store<float>(to, y);
                         };
  const std::int64_t whole = p.width / kFloats * kFloats, left = p.width - whole;
  for (std::int64_t i = 0; i < whole; i += kFloats)
    block(x + i, p.scale ? p.scale + i : nullptr, p.shift ? p.shift + i : nullptr, out + i);
  if (left == 0) return;
  float rest[kFloats] = {}, scale[kFloats] = {}, shift[kFloats] = {}, to[kFloats];
  std::copy_n(x + whole, left, rest);
  if (p.scale) std::copy_n(p.scale + whole, left, scale);
  if (p.shift) std::copy_n(p.shift + whole, left, shift);
  block(rest, p.scale ? scale : nullptr, p.shift ? shift : nullptr, to);
  std::copy_n(to, left, out + whole);
}

float inverse_root(double sum, std::int64_t width, double eps) {
  return static_cast<float>(1.0 / std::sqrt(sum / static_cast<double>(width) + eps));
}

[[gnu::always_inline]] inline void rms_norm(const NormRows& p) {
  for (std::int64_t r = 0; r < p.rows; ++r) {
    const float* x = p.x + r * p.x_stride;
    const double squares =
        sum_of(x, p.width, [](const Vector<double>& v) __attribute__((always_inline)) { return v * v; });
    scaled_row<false>(p, x, 0.0, inverse_root(squares, p.width, p.eps), p.out + r * p.out_stride);
  }
}

[[gnu::always_inline]] inline void layer_norm(const NormRows& p) {
  for (std::int64_t r = 0; r < p.rows; ++r) {
    const float* x = p.x + r * p.x_stride;
    const double mean =
        sum_of(x, p.width, [](const Vector<double>& v) __attribute__((always_inline)) { return v; }) /
        static_cast<double>(p.width);
    const double squares = sum_of(x, p.width, [mean](const Vector<double>& v) __attribute__((always_inline)) {
      const Vector<double> centred = v - mean;
      return centred * centred;
    });
    scaled_row<true>(p, x, mean, inverse_root(squares, p.width, p.eps), p.out + r * p.out_stride);
  }
}

void rms_norm_portable(const NormRows& p) { rms_norm(p); }
void layer_norm_portable(const NormRows& p) { layer_norm(p); }

#if defined(__x86_64__)
[[gnu::target("avx2")]] void rms_norm_avx2(const NormRows& p) { rms_norm(p); }
[[gnu::target("avx2")]] void layer_norm_avx2(const NormRows& p) { layer_norm(p); }
#endif

void check(const NormRows& p) {
  require(p.rows >= 0 && p.width > 0 && p.eps >= 0, "a norm of ", p.rows, " rows of ", p.width, ", eps ",
          p.eps);
}

}  // namespace

void rms_norm_rows(const NormRows& problem) {
  check(problem);
#if defined(__x86_64__)
  if (cpu_level() >= CpuLevel::avx2) return rms_norm_avx2(problem);
#endif
  rms_norm_portable(problem);
}

void layer_norm_rows(const NormRows& problem) {
  check(problem);
#if defined(__x86_64__)
  if (cpu_level() >= CpuLevel::avx2) return layer_norm_avx2(problem);
#endif
  layer_norm_portable(problem);
}

}  // namespace mquant
