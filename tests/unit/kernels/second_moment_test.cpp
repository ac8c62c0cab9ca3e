#include "kernels/second_moment.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "mquant/error.h"
#include "support/rng.h"
#include "tests/unit/kernels/cpu_levels.h"

namespace mquant {
namespace {

/// Rows of codes, `stride` apart; between them are codes that belong to nobody.
struct Codes {
  std::int64_t rows, width, stride;
  std::vector<std::int8_t> values;
  std::int64_t at(std::int64_t r, std::int64_t c) const {
    return values[static_cast<std::size_t>(r * stride + c)];
  }
};

Codes random_codes(std::int64_t rows, std::int64_t width, std::int64_t stride, std::uint64_t seed) {
  Rng rng(seed);
  Codes codes{rows, width, stride, std::vector<std::int8_t>(static_cast<std::size_t>(rows * stride))};
  for (std::int8_t& code : codes.values)
    code = static_cast<std::int8_t>(static_cast<int>(rng.next() % 255) - 127);
  return codes;
}

using Sums = std::vector<std::int64_t>;

/// All tiles of the lower triangle, one after another; each starts at 7.
Sums sums_of(const Codes& codes, std::int64_t multiplier) {
  MomentChunk chunk(codes.width);
  chunk.resize(codes.rows);
  for (std::int64_t tile = 0; tile < chunk.tiles(); ++tile)
    chunk.lay_out(tile, codes.values.data(), codes.stride);
  Sums sums(static_cast<std::size_t>(chunk.tiles() * (chunk.tiles() + 1) / 2 * kMomentTile * kMomentTile), 7);
  std::int64_t* at = sums.data();
  for (std::int64_t i = 0; i < chunk.tiles(); ++i)
    for (std::int64_t j = 0; j <= i; ++j, at += kMomentTile * kMomentTile)
      chunk.add_products(i, j, multiplier, at);
  return sums;
}

/// The lower triangle, row by row, by the definition.
Sums naive(const Codes& codes, std::int64_t multiplier) {
  Sums sums;
  for (std::int64_t i = 0; i < codes.width; ++i)
    for (std::int64_t j = 0; j <= i; ++j) {
      std::int64_t sum = 0;
      for (std::int64_t r = 0; r < codes.rows; ++r) sum += codes.at(r, i) * codes.at(r, j);
      sums.push_back(7 + multiplier * sum);
    }
  return sums;
}

Sums lower_triangle(const Sums& tiles, std::int64_t width) {
  Sums sums;
  for (std::int64_t i = 0; i < width; ++i)
    for (std::int64_t j = 0; j <= i; ++j) {
      const std::int64_t row = i / kMomentTile, tile = row * (row + 1) / 2 + j / kMomentTile;
      sums.push_back(tiles[static_cast<std::size_t>((tile * kMomentTile + i % kMomentTile) * kMomentTile +
                                                    j % kMomentTile)]);
    }
  return sums;
}

struct Shape {
  std::int64_t rows, width;
};
class SecondMoment : public testing::TestWithParam<Shape> {};

TEST_P(SecondMoment, IsTheNaiveSumOnEveryProcessor) {
  const auto [rows, width] = GetParam();
  const Codes codes = random_codes(rows, width, width + 5, 1);
  for (const std::int64_t multiplier : {std::int64_t{1}, std::int64_t{12345}, kMostMultiplier}) {
    const Sums got = test::same_on_all_levels([&] { return sums_of(codes, multiplier); });
    EXPECT_EQ(lower_triangle(got, width), naive(codes, multiplier)) << multiplier;
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, SecondMoment,
                         testing::Values(Shape{1, 1}, Shape{2, 7}, Shape{3, 16}, Shape{5, 49}, Shape{4, 192},
                                         Shape{67, 193}, Shape{130, 401}, Shape{1021, 50}),
                         [](const auto& tested) {
                           return "r" + std::to_string(tested.param.rows) + "w" +
                                  std::to_string(tested.param.width);
                         });

TEST(SecondMomentSums, LongestChunkOfTheLargestCodesIsExact) {
  for (const int b : {127, -127}) {
    Codes codes = random_codes(kMomentRows, 60, 60, 2);
    for (std::int64_t r = 0; r < codes.rows; ++r)
      for (std::int64_t c = 0; c < codes.width; ++c)
        codes.values[static_cast<std::size_t>(r * codes.stride + c)] =
            static_cast<std::int8_t>(c % 2 == 0 ? 127 : b);
    const Sums got = test::same_on_all_levels([&] { return sums_of(codes, kMostMultiplier); });
    const std::int64_t largest = kMomentRows * kMostInt8Square * kMostMultiplier;
    EXPECT_EQ(lower_triangle(got, 60)[1], 7 + (b > 0 ? largest : -largest));
    EXPECT_EQ(lower_triangle(got, 60), naive(codes, kMostMultiplier));
  }
}

TEST(SecondMomentSums, ColumnsBeyondTheWidthAreZeros) {
  const Sums got = sums_of(random_codes(9, 30, 40, 3), 1);
  for (std::int64_t i = 30; i < kMomentTile; ++i)
    for (std::int64_t j = 0; j <= i; ++j)
      ASSERT_EQ(got[static_cast<std::size_t>(i * kMomentTile + j)], 7) << i << ", " << j;
}

TEST(SecondMomentSums, ChunkIsReusedForOtherRows) {
  const Codes many = random_codes(200, 100, 100, 4), few = random_codes(3, 100, 100, 5);
  MomentChunk chunk(100);
  Sums sums(static_cast<std::size_t>(kMomentTile * kMomentTile), 7);
  for (const Codes* codes : {&many, &few}) {
    chunk.resize(codes->rows);
    chunk.lay_out(0, codes->values.data(), codes->stride);
    std::ranges::fill(sums, 7);
    chunk.add_products(0, 0, 1, sums.data());
  }
  EXPECT_EQ(lower_triangle(sums, 100), naive(few, 1));
}

TEST(SecondMomentSums, RowsThatMightOverflowAreOurBug) {
  MomentChunk chunk(10);
  EXPECT_THROW(chunk.resize(kMomentRows + 1), Error);
  EXPECT_THROW(chunk.resize(0), Error);
}

}  // namespace
}  // namespace mquant
