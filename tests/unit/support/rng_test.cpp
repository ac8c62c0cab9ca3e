#include "support/rng.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <span>

namespace mquant {
namespace {

// Computed by a separate implementation that reproduces the authors' published splitmix64 and xoshiro256** outputs.
TEST(Rng, DrawsThePublishedSequence) {
  Rng zero(0);
  EXPECT_EQ(zero.next(), 11091344671253066420U);
  EXPECT_EQ(zero.next(), 13793997310169335082U);
  EXPECT_EQ(zero.next(), 1900383378846508768U);
  Rng answer(42);
  EXPECT_EQ(answer.next(), 1546998764402558742U);
}

TEST(Rng, StreamsArePinnedToo) {
  Rng rng(7, "decoder.3");
  EXPECT_EQ(rng.next(), 9933320222117310504U);
  EXPECT_EQ(rng.next(), 7684838637929396656U);
}

TEST(Rng, StreamsAndSeedsDiffer) {
  const std::uint64_t first = Rng(7, "decoder.3").next();
  EXPECT_NE(first, Rng(7, "decoder.4").next());
  EXPECT_NE(first, Rng(8, "decoder.3").next());
  EXPECT_NE(first, Rng(7).next());
}

TEST(Rng, UniformStaysBelowOneAndFillsTheRange) {
  Rng rng(1);
  double sum = 0;
  for (int i = 0; i < 10000; ++i) {
    const double x = rng.uniform();
    ASSERT_GE(x, 0);
    ASSERT_LT(x, 1);
    sum += x;
  }
  EXPECT_NEAR(sum / 10000, 0.5, 0.02);  // 0.02 is seven standard errors
}

TEST(Rng, SignsAreFairAndAPrefixDoesNotDependOnTheLength) {
  const std::vector<std::int8_t> many = Rng(3).signs(10000);
  EXPECT_TRUE(std::ranges::all_of(many, [](std::int8_t s) { return s == 1 || s == -1; }));
  EXPECT_LT(std::abs(std::accumulate(many.begin(), many.end(), 0)), 600);  // six standard deviations
  const std::vector<std::int8_t> few = Rng(3).signs(100);
  EXPECT_TRUE(std::ranges::equal(few, std::span(many).first(100)));
  EXPECT_TRUE(Rng(3).signs(0).empty());
}

}  // namespace
}  // namespace mquant
