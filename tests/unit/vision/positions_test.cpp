#include "vision/positions.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "golden.h"
#include "mquant/error.h"
#include "tests/support/files.h"

namespace mquant {
namespace {

class PositionsGolden : public testing::TestWithParam<const char*> {};

TEST_P(PositionsGolden, AreThoseOfTransformers) {
  constexpr std::int64_t kMerge = 2, kImagePad = 1;
  const test::Golden golden(test::data_path("goldens/qwen2_vl/golden.safetensors"));
  const std::string name = GetParam();
  const std::vector<std::uint8_t> kinds = golden.bytes(name + "/token_kind");
  const auto tokens = static_cast<std::int64_t>(kinds.size());

  std::vector<PictureSpan> pictures;
  std::int64_t from = 0;
  const std::vector<std::int64_t> grids = golden.has(name + "/image_grid_thw")
                                              ? golden.integers(name + "/image_grid_thw")
                                              : std::vector<std::int64_t>{};
  for (std::size_t i = 0; i < grids.size(); i += 3) {
    const auto begin = std::find(kinds.begin() + from, kinds.end(), kImagePad) - kinds.begin();
    pictures.push_back({begin, {grids[i], grids[i + 1], grids[i + 2]}});
    from = begin + pictures.back().grid.rows() / (kMerge * kMerge);
  }
  EXPECT_EQ(std::count(kinds.begin() + from, kinds.end(), kImagePad), 0);

  const MropePositions got = mrope_positions(tokens, pictures, kMerge);
  const std::vector<std::int64_t> want = golden.integers(name + "/position_ids");  // [3, T]
  ASSERT_EQ(static_cast<std::int64_t>(want.size()), 3 * tokens);
  for (std::size_t axis = 0; axis < 3; ++axis)
    for (std::size_t token = 0; token < kinds.size(); ++token)
      ASSERT_EQ(got.positions[token][axis], want[axis * kinds.size() + token])
          << "axis " << axis << " of " << token;
  EXPECT_EQ(got.next, *std::max_element(want.begin(), want.end()) + 1);
}

INSTANTIATE_TEST_SUITE_P(Qwen2Vl, PositionsGolden,
                         testing::Values("photo", "text", "two_images", "wide", "chat", "unicode"),
                         [](const auto& test_case) { return std::string(test_case.param); });

TEST(Positions, AFilmCountsOnInTime) {
  const std::vector<PictureSpan> film = {{1, {3, 2, 4}}};  // 3 x 1 x 2 tokens
  const MropePositions got = mrope_positions(8, film, 2);
  const std::vector<std::array<std::int64_t, 3>> want = {{0, 0, 0}, {1, 1, 1}, {1, 1, 2}, {2, 1, 1},
                                                         {2, 1, 2}, {3, 1, 1}, {3, 1, 2}, {4, 4, 4}};
  EXPECT_EQ(got.positions, want);
  EXPECT_EQ(got.next, 5);
}

TEST(Positions, APictureMayEndTheSequence) {
  const std::vector<PictureSpan> pictures = {{0, {1, 2, 2}}, {1, {1, 4, 2}}};
  EXPECT_EQ(mrope_positions(3, pictures, 2).next, 3);
  EXPECT_EQ(mrope_positions(0, {}, 2).next, 0);
}

TEST(Positions, PicturesThatDoNotFitAreOurBug) {
  const std::vector<std::vector<PictureSpan>> bad = {
      {{0, {1, 4, 4}}},                  // 4 tokens of 3
      {{-1, {1, 2, 2}}},                 // before the beginning
      {{0, {1, 2, 4}}, {1, {1, 2, 2}}},  // over one another
      {{0, {1, 1, 1}}},                  // less than a token
  };
  for (const auto& pictures : bad) EXPECT_THROW(mrope_positions(3, pictures, 2), Error);
}

}  // namespace
}  // namespace mquant
