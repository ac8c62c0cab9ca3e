#include "quant/observer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "mquant/error.h"
#include "tests/unit/quant/layers.h"

namespace mquant {
namespace {

constexpr auto kText = TokenClass::text, kVisual = TokenClass::visual, kSink = TokenClass::sink;

void expect_equal(const ClassStatistics& a, const ClassStatistics& b) {
  EXPECT_EQ(a.rows, b.rows);
  EXPECT_EQ(a.min, b.min);
  EXPECT_EQ(a.max, b.max);
  EXPECT_EQ(a.histogram, b.histogram);
  EXPECT_EQ(a.channel_absmax, b.channel_absmax);
}

TEST(Observer, BinsHold32StepsAnOctave) {
  EXPECT_EQ(histogram_bin(0.0F), 0);
  EXPECT_EQ(histogram_bin(-0.0F), 0);
  EXPECT_EQ(histogram_bin(1e-42F), 1);
  EXPECT_EQ(histogram_bin(0x1p-31F), 1);
  EXPECT_EQ(histogram_bin(0x1p-30F), 2);
  EXPECT_EQ(histogram_bin(-1.0F), histogram_bin(1.0F));
  EXPECT_EQ(histogram_bin(2.0F) - histogram_bin(1.0F), 32);
  EXPECT_EQ(histogram_bin(0x1p30F), kHistogramBins - 1);
  EXPECT_EQ(histogram_bin(1e38F), kHistogramBins - 1);
  for (const float x : {1e-7F, 0.3F, 1.0F, 17.0F, 12345.0F}) {
    EXPECT_LE(histogram_edge(histogram_bin(x)), x);
    EXPECT_GT(histogram_edge(histogram_bin(x) + 1), x);
  }
}

TEST(Observer, SeesExactlyTheTokensOfAClass) {
  Observer observer(3, true);
  const std::vector<float> x = {1, -2, 3, 10, 20, -30, 0.5F, 0, 0};
  observer.add(x.data(), 3, 3, std::vector{kText, kVisual, kText});
  EXPECT_EQ(observer.of(kText).rows, 2);
  EXPECT_EQ(observer.of(kText).min, -2);
  EXPECT_EQ(observer.of(kText).max, 3);
  EXPECT_EQ(observer.of(kText).values(), 6);
  EXPECT_EQ(observer.of(kText).histogram[0], 2);
  EXPECT_EQ(observer.of(kVisual).absmax(), 30);
  EXPECT_EQ(observer.of(kSink).rows, 0);
  EXPECT_THAT(observer.of(kText).channel_absmax, testing::ElementsAre(1, 2, 3));
  EXPECT_THAT(observer.channel_absmax(), testing::ElementsAre(10, 20, 30));
  EXPECT_EQ(observer.total().values(), 9);
}

TEST(Observer, SkippedChannelsDoNotCount) {
  Observer observer(4, true);
  const std::vector<float> x = {100, 1, 2, 200};
  observer.add(x.data(), 1, 4, std::vector{kText}, std::vector<std::int64_t>{0, 3});
  EXPECT_EQ(observer.of(kText).max, 2);
  EXPECT_EQ(observer.of(kText).min, 1);
  EXPECT_EQ(observer.of(kText).values(), 2);
  EXPECT_THAT(observer.of(kText).channel_absmax, testing::ElementsAre(100, 1, 2, 200));
}

TEST(Observer, MergingInAnyOrderIsTheSameAsOnePass) {
  const at::Tensor x = test::random_matrix(60, 17, 1);
  std::vector<TokenClass> classes;
  for (int r = 0; r < 60; ++r) classes.push_back(r % 3 == 0 ? kVisual : kText);
  Observer whole(17, true), merged(17, true);
  whole.add(x, classes);
  std::vector<Observer> parts(4, Observer(17, true));
  for (std::int64_t r = 0; r < 60; ++r)
    parts[static_cast<std::size_t>(r * 7 % 4)].add(x.narrow(0, r, 1),
                                                   std::span(classes).subspan(std::size_t(r), 1));
  for (const std::size_t part : {2U, 0U, 3U, 1U}) merged.merge(parts[part]);
  expect_equal(merged.of(kText), whole.of(kText));
  expect_equal(merged.of(kVisual), whole.of(kVisual));
  expect_equal(merged.of(kSink), whole.of(kSink));
}

TEST(Observer, NanAndInfinityAreErrorsThatSayWhere) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    std::vector<float> x(12, 1.0F);
    x[7] = bad;
    for (const auto& skip : {std::vector<std::int64_t>{}, std::vector<std::int64_t>{3}}) {
      Observer observer(4);
      try {
        observer.add(x.data(), 3, 4, std::vector{kText, kVisual, kText}, skip);
        ADD_FAILURE() << "accepted";
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::input);
        EXPECT_THAT(error.what(), testing::HasSubstr("row 1, channel 3"));
      }
    }
  }
}

}  // namespace
}  // namespace mquant
