#include "kernels/norm_rows.h"

#include <algorithm>
#include <cmath>

#include "kernels/cpu.h"
#include "kernels/row_sums.h"
#include "kernels/vector.h"
#include "mquant/error.h"

namespace mquant {
namespace {

constexpr int kStep = VectorOf<double>::lanes;

typedef float Quad __attribute__((vector_size(16)));

[[gnu::always_inline]] inline Vector<float> rounded(const Vector<double>& low, const Vector<double>& high) {
  return __builtin_shufflevector(__builtin_convertvector(low, Quad), __builtin_convertvector(high, Quad), 0,
                                 1, 2, 3, 4, 5, 6, 7);
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
        sum_of([](const Vector<double>& v) __attribute__((always_inline)) { return v * v; }, p.width, x);
    scaled_row<false>(p, x, 0.0, inverse_root(squares, p.width, p.eps), p.out + r * p.out_stride);
  }
}

[[gnu::always_inline]] inline void layer_norm(const NormRows& p) {
  for (std::int64_t r = 0; r < p.rows; ++r) {
    const float* x = p.x + r * p.x_stride;
    const double mean =
        sum_of([](const Vector<double>& v) __attribute__((always_inline)) { return v; }, p.width, x) /
        static_cast<double>(p.width);
    const auto square = [mean](const Vector<double>& v) __attribute__((always_inline)) {
      const Vector<double> centred = v - mean;
      return centred * centred;
    };
    const double squares = sum_of(square, p.width, x);
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
