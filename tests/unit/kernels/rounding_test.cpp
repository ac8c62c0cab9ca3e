#include "kernels/rounding.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "mquant/error.h"
#include "support/rng.h"
#include "tests/unit/kernels/cpu_levels.h"

namespace mquant {
namespace {

std::vector<float> random_values(std::size_t n, std::uint64_t seed) {
  Rng rng(seed);
  std::vector<float> values(n);
  for (float& value : values) value = static_cast<float>(rng.uniform() * 2 - 1);
  return values;
}

TEST(Rounding, RangesAreThoseOfTheWordList) {
  EXPECT_EQ(code_range(4).low, -8);
  EXPECT_EQ(code_range(4).high, 7);
  EXPECT_EQ(code_range(8).low, -127);
  EXPECT_EQ(code_range(8).high, 127);
  EXPECT_THROW(code_range(3), Error);
}

TEST(Rounding, RowIsRoundedToNearestEvenWithinTheRange) {
  const std::vector<float> w = {0.5F, 1.5F, -0.5F, -1.5F, 7.4F, 9.0F, -8.4F, -100.0F, 1e30F};
  const auto codes = test::same_on_all_levels([&] {
    std::vector<std::int8_t> out(w.size());
    round_row(w, 1.0F, code_range(4), out.data());
    return out;
  });
  EXPECT_EQ(codes, (std::vector<std::int8_t>{0, 2, 0, -2, 7, 7, -8, -8, 7}));
}

TEST(Rounding, ClipErrorOfExactCodesIsNothing) {  // the root of an exact zero must not become NaN
  const std::vector<float> w = {0, 1, -1, 7, -8, 0, 0, 3, 5};
  EXPECT_LT(clip_error(w, 1.0F, code_range(4), 1e9), 1e-9);
  EXPECT_LT(clip_error(std::vector<float>(300), 1.0F, code_range(4), 1e9), 1e-9);
}

TEST(Rounding, ClipErrorIsTheSameOnEveryProcessor) {
  for (const std::size_t n : {1U, 7U, 8U, 256U, 700U}) {
    const auto w = random_values(n, n);
    const double error = test::same_on_all_levels([&] { return clip_error(w, 0.07F, code_range(4), 1e9); });
    double exact = 0;
    for (const float x : w) {
      const double code = std::clamp(std::nearbyint(double(x) / double(0.07F)), -8.0, 7.0);
      exact += std::pow(std::abs(double(x) - code * double(0.07F)), kClipNorm);
    }
    EXPECT_NEAR(error / exact, 1.0, 1e-5) << n;
  }
}

}  // namespace
}  // namespace mquant
