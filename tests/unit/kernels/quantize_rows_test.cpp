#include "kernels/quantize_rows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "mquant/error.h"
#include "support/rng.h"
#include "tests/unit/kernels/cpu_levels.h"

namespace mquant {
namespace {

TEST(QuantizeRows, RoundsToNearestEvenAndClamps) {
  const std::vector<float> x = {0.5F, 1.5F, 2.5F, -0.5F, -1.5F, 126.5F, 127.5F, 1e30F, -1e30F, -127.6F, 0.0F};
  std::vector<std::int8_t> codes(x.size());
  quantize_rows(x.data(), 1, 11, 11, std::vector<float>{1.0F}, codes.data());
  EXPECT_THAT(codes, testing::ElementsAre(0, 2, 2, 0, -2, 126, 127, 127, -127, -127, 0));
}

TEST(QuantizeRows, IsTheSameAsTheNaiveLoopOnEveryProcessor) {
  constexpr std::int64_t kRows = 7, kColumns = 67, kStride = 71;
  Rng rng(5);
  std::vector<float> x(kRows * kStride);
  for (float& value : x) value = static_cast<float>(rng.uniform() * 8 - 4);
  const std::vector<float> scales = {0.01F, 0.02F, 0.03F, 0.031F, 0.5F, 1.0F, 0.025F};
  const auto got = test::same_on_all_levels([&] {
    std::vector<std::int8_t> codes(kRows * kColumns);
    quantize_rows(x.data(), kRows, kColumns, kStride, scales, codes.data());
    return codes;
  });
  for (std::size_t r = 0; r < kRows; ++r)
    for (std::size_t i = 0; i < kColumns; ++i) {
      const float naive = std::clamp(std::nearbyint(x[r * kStride + i] / scales[r]), -127.0F, 127.0F);
      ASSERT_EQ(got[r * kColumns + i], static_cast<std::int8_t>(naive)) << r << ", " << i;
    }
}

TEST(QuantizeRow, TellsTheSumOfItsCodesAndWhetherAllWereFinite) {
  Rng rng(6);
  for (const std::int64_t columns : {1, 7, 32, 67, 1536}) {
    std::vector<float> x(static_cast<std::size_t>(columns));
    for (float& value : x) value = static_cast<float>(rng.uniform() * 6 - 2);
    std::vector<std::int8_t> codes(x.size());
    const auto sums = test::same_on_all_levels([&] {
      const RowCodes row = quantize_row(x.data(), columns, 0.02F, codes.data());
      return std::vector<std::int64_t>{row.sum, row.finite};
    });
    EXPECT_EQ(sums[0], std::accumulate(codes.begin(), codes.end(), std::int64_t{0}));
    EXPECT_EQ(sums[1], 1);
    x.back() = std::numeric_limits<float>::quiet_NaN();
    EXPECT_FALSE(quantize_row(x.data(), columns, 0.02F, codes.data()).finite);
  }
}

TEST(DynamicScale, MakesTheLargestMagnitude127) {
  std::vector<float> x(67, 0.25F);
  x[41] = -6.5F;
  const auto scale = test::same_on_all_levels([&] { return dynamic_scale(x.data(), 67); });
  std::vector<std::int8_t> codes(x.size());
  quantize_row(x.data(), 67, scale, codes.data());
  EXPECT_EQ(codes[41], -127);
  EXPECT_EQ(dynamic_scale(std::vector<float>(9, 0.0F).data(), 9), 1.0F);
}

std::string message_of(std::vector<float> x, float scale) {
  std::vector<std::int8_t> codes(x.size());
  try {
    quantize_rows(x.data(), 1, std::ssize(x), std::ssize(x), std::vector<float>{scale}, codes.data());
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::input);
    return error.what();
  }
  return "accepted";
}

TEST(QuantizeRows, NanAndBadScalesAreErrorsThatSayWhere) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN(),
                  kInf = std::numeric_limits<float>::infinity();
  std::vector<float> x(40, 1.0F);
  x[33] = kNan;
  EXPECT_THAT(message_of(x, 1.0F), testing::HasSubstr("row 0, column 33"));
  x[33] = -kInf;
  EXPECT_THAT(message_of(x, 1.0F), testing::HasSubstr("row 0, column 33"));
  for (const float scale : {0.0F, -1.0F, kNan, kInf})
    EXPECT_THAT(message_of({1.0F}, scale), testing::HasSubstr("activation scale"));
}

}  // namespace
}  // namespace mquant
