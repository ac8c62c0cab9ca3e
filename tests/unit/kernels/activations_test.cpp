#include "kernels/activations.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "support/rng.h"
#include "tests/unit/kernels/cpu_levels.h"

namespace mquant {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

double formula(Activation activation, double x) {
  switch (activation) {
    case Activation::silu: return x / (1 + std::exp(-x));
    case Activation::quick_gelu: return x / (1 + std::exp(-1.702 * x));
    case Activation::gelu: return x * std::erfc(-x / std::numbers::sqrt2) / 2;
    case Activation::gelu_tanh:
      return x * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x))) / 2;
  }
  return x;
}

class ActivationRow : public testing::TestWithParam<Activation> {
 protected:
  static std::vector<float> run(const std::vector<float>& x) {
    std::vector<float> out(x.size());
    activate_row(GetParam(), x.data(), std::ssize(x), out.data());
    return out;
  }
};

TEST_P(ActivationRow, IsTheFormulaWithTheSameBitsOnEveryProcessor) {
  std::vector<float> x;
  for (int i = -200000; i <= 200000; ++i) x.push_back(static_cast<float>(i) * 1e-4F);
  for (int e = -140; e < 128; ++e)
    for (const float sign : {-1.3F, 1.3F}) x.push_back(std::ldexp(sign, e));
  x.push_back(0.0F);
  const auto got = test::same_on_all_levels([&] { return run(x); });
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double bound = 2e-7 * std::max(1.0, std::fabs(static_cast<double>(x[i])));
    ASSERT_NEAR(got[i], formula(GetParam(), x[i]), bound) << x[i];
  }
}

TEST_P(ActivationRow, SmallValuesAreRelativelyExact) {
  for (const float x : {1e-3F, -1e-5F, 1e-10F, -1e-20F, 1e-35F})
    EXPECT_NEAR(run({x})[0] / formula(GetParam(), x), 1.0, 5e-7) << x;
}

TEST_P(ActivationRow, BitsDoNotDependOnThePlaceOrTheLength) {
  Rng rng(3);
  std::vector<float> x(41);
  for (float& v : x) v = static_cast<float>(rng.uniform() * 20 - 10);
  const auto whole = run(x);
  for (std::size_t begin = 0; begin < x.size(); ++begin)
    for (std::size_t end = begin + 1; end <= x.size(); ++end) {
      const auto part =
          run({x.begin() + static_cast<std::ptrdiff_t>(begin), x.begin() + static_cast<std::ptrdiff_t>(end)});
      ASSERT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + static_cast<std::ptrdiff_t>(begin)))
          << begin << ", " << end;
    }
}

TEST_P(ActivationRow, MultiplyIsTheActivationTimesTheOtherInPlaceToo) {
  Rng rng(4);
  for (const std::size_t n : {1, 7, 8, 9, 67}) {
    std::vector<float> gate(n), up(n);
    for (float& v : gate) v = static_cast<float>(rng.uniform() * 8 - 4);
    for (float& v : up) v = static_cast<float>(rng.uniform() * 8 - 4);
    auto expected = run(gate);
    for (std::size_t i = 0; i < n; ++i) expected[i] *= up[i];
    std::vector<float> on_gate = gate, on_up = up;
    activate_multiply_row(GetParam(), on_gate.data(), up.data(), std::ssize(up), on_gate.data());
    activate_multiply_row(GetParam(), gate.data(), on_up.data(), std::ssize(up), on_up.data());
    EXPECT_EQ(on_gate, expected);
    EXPECT_EQ(on_up, expected);
  }
}

TEST_P(ActivationRow, NanAndInfinityAreNotHidden) {
  for (const std::size_t at : {2, 9}) {  // in a whole vector, and behind it
    std::vector<float> x(10, 1.0F);
    x[at] = kNan;
    EXPECT_TRUE(std::isnan(run(x)[at]));
    EXPECT_FALSE(std::isnan(run(x)[at - 1]));
    x[at] = kInf;
    EXPECT_EQ(run(x)[at], kInf);
    x[at] = -kInf;
    EXPECT_TRUE(std::isnan(run(x)[at]));
    x[at] = -std::numeric_limits<float>::max();
    EXPECT_EQ(run(x)[at], 0.0F);
    x[at] = -x[at];
    EXPECT_EQ(run(x)[at], x[at]);
  }
}

INSTANTIATE_TEST_SUITE_P(All, ActivationRow,
                         testing::Values(Activation::silu, Activation::gelu, Activation::gelu_tanh,
                                         Activation::quick_gelu));

TEST(RowArithmetic, IsRoundedOncePerValue) {
  const std::vector<float> a = {1.5F, -2.0F, 0.1F, kInf, 7.0F, 1.0F, 2.0F, 3.0F, 0.3F},
                           b = {2.0F, 0.5F, 0.2F, 1.0F, kNan, -1.0F, -2.0F, -3.0F, 0.7F};
  std::vector<float> sum(9), product(9), scaled(9);
  add_row(a.data(), b.data(), 9, sum.data());
  multiply_row(a.data(), b.data(), 9, product.data());
  scale_row(a.data(), 0.1F, 9, scaled.data());
  for (std::size_t i = 0; i < 9; ++i) {
    if (i == 4) continue;
    EXPECT_EQ(sum[i], a[i] + b[i]);
    EXPECT_EQ(product[i], a[i] * b[i]);
    EXPECT_EQ(scaled[i], a[i] * 0.1F);
  }
  EXPECT_TRUE(std::isnan(sum[4]) && std::isnan(product[4]));
}

}  // namespace
}  // namespace mquant
