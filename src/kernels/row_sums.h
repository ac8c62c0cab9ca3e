// Sums over rows of floats, in double and in one order: the same bits on every processor.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/vector.h"

namespace mquant {

[[gnu::always_inline]] inline Vector<double> load_doubles(const float* x) {
  typedef float Quad __attribute__((vector_size(16)));
  typedef float UnalignedQuad __attribute__((vector_size(16), aligned(4), may_alias));
  return __builtin_convertvector(static_cast<Quad>(*reinterpret_cast<const UnalignedQuad*>(x)),
                                 Vector<double>);
}

/// The sum of term(x, ...) over rows of one width.  Lane l takes the values at l, l + 16, ...;
/// lanes are added pairwise.
template <class Term, class... Row>
[[gnu::always_inline]] inline double sum_of(const Term& term, std::int64_t width, const Row*... x) {
  constexpr std::int64_t kLanes = 16;
  constexpr int kStep = VectorOf<double>::lanes, kParts = static_cast<int>(kLanes) / kStep;
  Vector<double> sum[kParts] = {};
  const std::int64_t whole = width / kLanes * kLanes;
  for (std::int64_t i = 0; i < whole; i += kLanes)
#pragma GCC unroll 4
    for (int v = 0; v < kParts; ++v) sum[v] += term(load_doubles(x + i + v * kStep)...);
  double lane[kLanes];
  for (int v = 0; v < kParts; ++v) store<double>(lane + v * kStep, sum[v]);
  if (whole < width) {
    struct Rest {
      float values[kLanes];
    };
    const auto rest_of = [&](const float* row) __attribute__((always_inline)) {
      Rest rest{};
      std::copy(row + whole, row + width, rest.values);
      return rest;
    };
    const auto add = [&](const auto&... rest) __attribute__((always_inline)) {
      for (int v = 0; v < kParts; ++v) {
        double terms[kStep];
        store<double>(terms, term(load_doubles(rest.values + v * kStep)...));
        for (int l = 0; l < kStep && whole + v * kStep + l < width; ++l) lane[v * kStep + l] += terms[l];
      }
    };
    add(rest_of(x)...);
  }
  for (std::int64_t half = kLanes / 2; half > 0; half /= 2)
    for (std::int64_t l = 0; l < half; ++l) lane[l] += lane[l + half];
  return lane[0];
}

}  // namespace mquant
