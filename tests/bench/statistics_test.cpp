// Medians, ratios and rates, from samples that are given.
#include <gtest/gtest.h>

#include <cmath>

#include "mquant/bench.h"

namespace mquant::test {
namespace {

PassSeconds pass_of(double vision_linears, double attention, double rest) {
  PassSeconds pass;
  pass.vision[BenchStage::linears] = vision_linears;
  pass.decoder[BenchStage::attention] = attention;
  pass.decoder[BenchStage::rest] = rest;
  return pass;
}

VariantReport variant_of(BenchVariant variant, const std::vector<double>& prefill,
                         const std::vector<double>& decode) {
  VariantReport report{.variant = variant};
  for (const double seconds : prefill)
    report.prefill.push_back(pass_of(seconds / 2, seconds / 4, seconds / 4));
  for (const double seconds : decode) report.decode.push_back(pass_of(0, seconds, 0));
  return report;
}

TEST(Median, IsTheMiddleOfAnyOrder) {
  EXPECT_EQ(median({3, 1, 2}), 2);
  EXPECT_EQ(median({4, 1, 3, 2}), 2.5);
  EXPECT_EQ(median({7}), 7);
  EXPECT_TRUE(std::isnan(median({})));
}

TEST(MedianPass, IsAWholePassSoThatItsStagesSumToItsTotal) {
  const std::vector<PassSeconds> passes = {pass_of(1, 2, 3), pass_of(3, 0.5, 0.5), pass_of(0, 9, 0)};
  const PassSeconds middle = median_pass(passes);  // totals 6, 4, 9
  EXPECT_EQ(middle.total(), 6);
  EXPECT_EQ(middle.vision.total(), 1);
  EXPECT_EQ(middle.decoder[BenchStage::attention], 2);
  EXPECT_EQ(middle.decoder[BenchStage::rest], 3);
  EXPECT_EQ(median_pass({pass_of(1, 0, 0), pass_of(2, 0, 0)}).total(), 1) << "the lower of two";
  EXPECT_EQ(median_pass({}).total(), 0);
}

TEST(FastestFloat, IsChosenByTheMedianForEachPhaseOnItsOwn) {
  BenchReport report;
  report.variants = {variant_of(BenchVariant::float32, {4, 5, 90}, {2, 2}),
                     variant_of(BenchVariant::bfloat16, {8}, {1.5, 1.5}),
                     variant_of(BenchVariant::aifs, {1, 2, 3}, {0.5})};
  const VariantReport* prefill = fastest_float(report, BenchPhase::prefill);
  ASSERT_NE(prefill, nullptr);
  EXPECT_EQ(prefill->variant, BenchVariant::float32);
  const VariantReport* decode = fastest_float(report, BenchPhase::decode);
  ASSERT_NE(decode, nullptr);
  EXPECT_EQ(decode->variant, BenchVariant::bfloat16);
  EXPECT_EQ(speedup(report.variants[2], prefill, BenchPhase::prefill), 2.5);
  EXPECT_EQ(speedup(report.variants[2], decode, BenchPhase::decode), 3);
  EXPECT_EQ(speedup(report.variants[0], prefill, BenchPhase::prefill), 1);
}

TEST(FastestFloat, IsNoneWhereNoneWasRun) {
  BenchReport report;
  report.variants = {variant_of(BenchVariant::bfloat16, {}, {1}), variant_of(BenchVariant::aifs, {1}, {})};
  EXPECT_EQ(fastest_float(report, BenchPhase::prefill), nullptr);
  EXPECT_TRUE(std::isnan(speedup(report.variants[1], nullptr, BenchPhase::prefill)));
  EXPECT_TRUE(std::isnan(speedup(report.variants[1], &report.variants[0], BenchPhase::decode)));
}

TEST(TokensASecond, CountTheTokensOfAllSequences) {
  BenchReport report;
  report.workload.text_tokens = 40;
  report.workload.visual_tokens = 60;
  report.workload.batch = 3;
  report.workload.decode_tokens = 8;
  report.variants = {variant_of(BenchVariant::aifs, {2}, {4})};
  EXPECT_EQ(tokens_a_second(report, report.variants[0], BenchPhase::prefill), 150);
  EXPECT_EQ(tokens_a_second(report, report.variants[0], BenchPhase::decode), 6);
}

}  // namespace
}  // namespace mquant::test
