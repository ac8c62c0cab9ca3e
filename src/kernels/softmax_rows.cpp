#include "kernels/softmax_rows.h"

#include <algorithm>
#include <cmath>

#include "kernels/cpu.h"
#include "kernels/exp.h"
#include "kernels/row_sums.h"
#include "mquant/error.h"

namespace mquant {
namespace {

/// The largest; a NaN if there is one.
[[gnu::always_inline]] inline float largest_of(const float* x, std::int64_t n) {
  constexpr int kLanes = VectorOf<float>::lanes;
  typedef std::int32_t Mask __attribute__((vector_size(32)));
  float max = x[0];
  std::int64_t i = 0;
  if (n >= kLanes) {
    Vector<float> most = load(x);
    for (; i + kLanes <= n; i += kLanes) {
      const Vector<float> next = load(x + i);
      const Mask kept = (next <= most) | (most != most);  // a NaN stays
      most = kept ? most : next;
    }
    max = most[0];
    for (int l = 1; l < kLanes; ++l)
      if (!(most[l] <= max) && !std::isnan(max)) max = most[l];
  }
  for (; i < n; ++i)
    if (!(x[i] <= max) && !std::isnan(max)) max = x[i];
  return max;
}

[[gnu::always_inline]] inline double exp_sum(const float* x, std::int64_t n, double max) {
  return sum_of([&](const Vector<double>& v)
                    __attribute__((always_inline)) { return exp_of_nonpositive(v - max); },
                n, x);
}

/// The sum of exp(a) (a - b), a = p - its largest, b = q - its largest.
[[gnu::always_inline]] inline double weighted_gap(const float* p, double p_max, const float* q, double q_max,
                                                  std::int64_t n) {
  return sum_of(
      [&](const Vector<double>& of_p, const Vector<double>& of_q) __attribute__((always_inline)) {
        const Vector<double> a = of_p - p_max, b = of_q - q_max;
        return exp_of_nonpositive(a) * (a - b);
      },
      n, p, q);
}

struct Largest {
  float value;
  double exp_sum;
};

[[gnu::always_inline]] inline Largest softmax_body(const float* x, std::int64_t n) {
  const float max = largest_of(x, n);
  return {max, exp_sum(x, n, static_cast<double>(max))};
}
Largest softmax_portable(const float* x, std::int64_t n) { return softmax_body(x, n); }
double gap_portable(const float* p, double p_max, const float* q, double q_max, std::int64_t n) {
  return weighted_gap(p, p_max, q, q_max, n);
}

#if defined(__x86_64__)
[[gnu::target("avx2")]] Largest softmax_avx2(const float* x, std::int64_t n) { return softmax_body(x, n); }
[[gnu::target("avx2")]] double gap_avx2(const float* p, double p_max, const float* q, double q_max,
                                        std::int64_t n) {
  return weighted_gap(p, p_max, q, q_max, n);
}
#endif

bool same(float a, float b) { return a == b || (std::isnan(a) && std::isnan(b)); }

}  // namespace

SoftmaxRow softmax_of(std::span<const float> x) {
  require(!x.empty(), "the softmax of no logits");
  auto* run = softmax_portable;
#if defined(__x86_64__)
  if (cpu_level() >= CpuLevel::avx2) run = softmax_avx2;
#endif
  const Largest largest = run(x.data(), std::ssize(x));
  const auto at = std::ranges::find_if(x, [&](float value) { return same(value, largest.value); });
  return {at - x.begin(), static_cast<double>(largest.value), std::log(largest.exp_sum)};
}

double kl_divergence(std::span<const float> p, const SoftmaxRow& of_p, std::span<const float> q,
                     const SoftmaxRow& of_q) {
  require(p.size() == q.size(), "rows of ", p.size(), " and ", q.size(), " logits");
  auto* run = gap_portable;
#if defined(__x86_64__)
  if (cpu_level() >= CpuLevel::avx2) run = gap_avx2;
#endif
  // The mean of log p - log q under p, where log p is a - log_sum.
  const double gap = run(p.data(), of_p.max, q.data(), of_q.max, std::ssize(p));
  return gap / std::exp(of_p.log_sum) - of_p.log_sum + of_q.log_sum;
}

}  // namespace mquant
