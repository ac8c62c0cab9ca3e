#include "kernels/softmax_rows.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "support/rng.h"
#include "tests/unit/kernels/cpu_levels.h"

namespace mquant {
namespace {

std::vector<float> logits(std::size_t n, double spread, Rng& rng) {
  std::vector<float> x(n);
  for (float& v : x) v = static_cast<float>((rng.uniform() * 2 - 1) * spread);
  return x;
}

/// By the definition, in long double.
std::vector<long double> log_probabilities(const std::vector<float>& x) {
  const auto max = static_cast<long double>(*std::ranges::max_element(x));
  long double sum = 0;
  for (const float v : x) sum += std::exp(static_cast<long double>(v) - max);
  std::vector<long double> log_p;
  for (const float v : x) log_p.push_back(static_cast<long double>(v) - max - std::log(sum));
  return log_p;
}

TEST(SoftmaxRows, AreTheDefinitionForAnyWidthAndSpread) {
  Rng rng(7);
  for (const std::size_t n : {1U, 2U, 7U, 8U, 15U, 16U, 17U, 33U, 1000U, 4099U})
    for (const double spread : {1e-3, 3.0, 40.0, 2000.0}) {
      const std::vector<float> p = logits(n, spread, rng), q = logits(n, spread, rng);
      const SoftmaxRow of_p = softmax_of(p), of_q = softmax_of(q);
      const std::vector<long double> log_p = log_probabilities(p), log_q = log_probabilities(q);
      long double kl = 0;
      for (std::size_t i = 0; i < n; ++i) {
        kl += std::exp(log_p[i]) * (log_p[i] - log_q[i]);
        ASSERT_NEAR(of_p.surprise(p[i]), static_cast<double>(-log_p[i]), 1e-13 * (1 + 4 * spread)) << n;
      }
      EXPECT_EQ(of_p.largest, std::ranges::max_element(p) - p.begin());
      EXPECT_NEAR(kl_divergence(p, of_p, q, of_q), static_cast<double>(kl), 1e-13 * (1 + 4 * spread)) << n;
    }
}

TEST(SoftmaxRows, AreTheSameBitsOnEveryProcessor) {
  Rng rng(8);
  const std::vector<float> p = logits(1003, 20, rng), q = logits(1003, 20, rng);
  const SoftmaxRow row = test::same_on_all_levels([&] { return softmax_of(p); });
  test::same_on_all_levels([&] { return kl_divergence(p, row, q, softmax_of(q)); });
}

TEST(SoftmaxRows, EqualRowsHaveNoDivergence) {
  Rng rng(9);
  const std::vector<float> p = logits(777, 20, rng);
  EXPECT_EQ(kl_divergence(p, softmax_of(p), p, softmax_of(p)), 0.0);
}

TEST(SoftmaxRows, TheFirstOfEqualLogitsIsTheLargest) {
  std::vector<float> x(40, -1.0F);
  x[30] = x[13] = x[35] = 2.5F;
  EXPECT_EQ(softmax_of(x).largest, 13);
}

TEST(SoftmaxRows, ANaNIsTold) {
  for (const std::size_t at : {0U, 5U, 20U, 33U}) {
    std::vector<float> x(34, 1.0F);
    x[at] = std::numeric_limits<float>::quiet_NaN();
    const SoftmaxRow row = softmax_of(x);
    EXPECT_EQ(row.largest, static_cast<std::int64_t>(at));
    EXPECT_TRUE(std::isnan(row.log_sum));
    EXPECT_TRUE(std::isnan(kl_divergence(x, row, x, row)));
  }
}

TEST(SoftmaxRows, WhatIsImpossibleAddsNothing) {
  std::vector<float> x(20, 0.0F);
  x[3] = -std::numeric_limits<float>::infinity();
  EXPECT_NEAR(softmax_of(x).log_sum, std::log(19.0), 1e-15);
}

}  // namespace
}  // namespace mquant
