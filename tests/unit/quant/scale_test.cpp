// From statistics to scales (choose_scale).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "kernels/bfloat16.h"
#include "mquant/error.h"
#include "quant/observer.h"
#include "tests/unit/quant/layers.h"

namespace mquant {
namespace {

constexpr auto kText = TokenClass::text, kVisual = TokenClass::visual, kSink = TokenClass::sink;

Observer observed(const at::Tensor& x) {
  Observer observer(x.size(1));
  observer.add(x, std::vector<TokenClass>(static_cast<std::size_t>(x.size(0)), kText));
  return observer;
}

double exact_mse(const at::Tensor& x, double scale) {
  const at::Tensor wide = x.to(at::kDouble);
  return ((wide / scale).round().clamp(-127, 127) * scale - wide).square().mean().item<double>();
}

TEST(Scale, OfMaxCoversTheLargestValueOfExactlyItsClass) {
  at::Tensor x = test::random_matrix(20, 30, 1);
  x.narrow(0, 10, 10).mul_(50);
  std::vector<TokenClass> classes(20, kText);
  std::fill(classes.begin() + 10, classes.end(), kVisual);
  Observer observer(30);
  observer.add(x, classes);
  const ClassScales scales = choose_scales(observer, {.rule = ScaleRule::max});
  const auto exact = [&](std::int64_t row) { return x.narrow(0, row, 10).abs().max().item<float>() / 127; };
  EXPECT_EQ(*scales.of(kText), round_up_to_bfloat16(exact(0)));
  EXPECT_EQ(*scales.of(kVisual), round_up_to_bfloat16(exact(10)));
  EXPECT_FALSE(scales.of(kSink).has_value());
  for (const int bits : {16, 32}) {
    const float scale = choose_scale(observer.of(kVisual), {.scale_bits = bits});
    EXPECT_GE(127.0 * double(scale), double(observer.of(kVisual).absmax()));
    EXPECT_LE(scale, exact(10) * (bits == 16 ? 1.01F : 1.000001F));
  }
}

TEST(Scale, HistogramErrorIsCloseToTheExactOne) {
  const at::Tensor x = test::random_matrix(300, 50, 2).pow(3) * 4;
  const Observer observer = observed(x);
  for (const double scale : {0.05, 0.03, 0.01, 0.002})
    EXPECT_NEAR(histogram_mse(observer.of(kText), scale) / exact_mse(x, scale), 1.0, 0.05) << scale;
}

TEST(Scale, OfMseClipsALoneOutlierAndIsNoWorseThanMax) {
  at::Tensor x = test::random_matrix(2000, 50, 3);
  x.select(0, 5).select(0, 7).fill_(8.0F);
  const Observer observer = observed(x);
  const float by_max = choose_scale(observer.of(kText), {.rule = ScaleRule::max});
  const float by_mse = choose_scale(observer.of(kText), {.rule = ScaleRule::mse});
  EXPECT_LT(by_mse, 0.9F * by_max);
  EXPECT_LT(exact_mse(x, double(by_mse)), exact_mse(x, double(by_max)));
}

TEST(Scale, OfMseKeepsMaxWhereClippingDoesNotPay) {
  const Observer observer = observed(test::random_matrix(2000, 50, 4));  // uniform
  const float by_max = choose_scale(observer.of(kText), {.rule = ScaleRule::max});
  EXPECT_NEAR(choose_scale(observer.of(kText), {.rule = ScaleRule::mse}) / by_max, 1.0F, 0.01F);
}

TEST(Scale, OfPercentileLeavesOutTheGivenShare) {
  const at::Tensor x = test::random_matrix(1000, 100, 5);
  const Observer observer = observed(x);
  const float scale = choose_scale(observer.of(kText), {.rule = ScaleRule::percentile, .percentile = 0.9});
  const double inside = x.abs().le(127 * scale).to(at::kDouble).mean().item<double>();
  EXPECT_NEAR(inside, 0.9, 0.02);  // a bin is 3 % wide
  const float all =
      choose_scale(observer.of(kText), {.rule = ScaleRule::percentile, .percentile = 1.0, .scale_bits = 32});
  EXPECT_FLOAT_EQ(all, observer.of(kText).absmax() / 127);
  EXPECT_THROW(choose_scale(observer.of(kText), {.rule = ScaleRule::percentile, .percentile = 99.9}), Error);
}

TEST(Scale, OfZerosIsPositive) {
  const Observer observer = observed(test::random_matrix(3, 4, 6) * 0);
  for (const ScaleRule rule : {ScaleRule::max, ScaleRule::mse, ScaleRule::percentile})
    EXPECT_EQ(choose_scale(observer.of(kText), {.rule = rule}), 0x1p-23F);
}

TEST(Scale, OfAClassWithoutTokensIsRefused) { EXPECT_THROW(choose_scale(ClassStatistics{}, {}), Error); }

TEST(Scale, OfAValueOnTheEdgeOfABinHasItsExactError) {
  const Observer observer = observed(test::random_matrix(1, 1, 7) * 0 + 64.0F);
  EXPECT_NEAR(histogram_mse(observer.of(kText), 1.5), 64.5 * 0 + 0.25,
              1e-9);  // 64 / 1.5 = 42.67 -> 43 * 1.5 = 64.5
}

}  // namespace
}  // namespace mquant
