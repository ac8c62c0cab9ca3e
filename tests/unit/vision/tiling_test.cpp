#include "vision/tiling.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "golden.h"
#include "mquant/error.h"
#include "support/sha256.h"
#include "tests/support/files.h"
#include "vision/decode.h"

namespace mquant {
namespace {

using nlohmann::json;
using test::data_path;

std::vector<json> golden_cases() {
  return json::parse(test::read_text(data_path("goldens/tiling/golden.json"))).at("cases");
}

/// What a family makes of a picture, in the order in which its tiles go through the vision tower.
Tiling tiling_of(const json& c, const Image& image) {
  const std::string family = c.at("family");
  if (family == "llava") {
    const std::int64_t side = c.at("side");
    return {{0, 0}, {center_crop(resize(image, short_side_size(size_of(image), side)), {side, side})}};
  }
  if (family == "smolvlm") return tile_by_longest_edge(image, c.at("longest_edge"), c.at("tile"));
  if (family == "minicpm_v")
    return slice_by_area(image, c.at("resolution"), c.at("patch"), c.at("max_slices"));
  return tile_by_aspect(image, c.at("tile"), 1, c.at("max_tiles"), Thumbnail::yes);
}

class TilingGolden : public testing::TestWithParam<json> {};

TEST_P(TilingGolden, TilesAreThoseOfTheReference) {
  const json& c = GetParam();
  const Image image = open_image(data_path("goldens/tiling/images") / c.at("picture").get<std::string>());
  const Tiling got = tiling_of(c, image);
  if (c.contains("grid")) {
    EXPECT_EQ(got.grid, (TileGrid{c.at("grid").at(0), c.at("grid").at(1)}));
  }
  ASSERT_EQ(got.tiles.size(), c.at("tiles").size());
  for (std::size_t i = 0; i < got.tiles.size(); ++i) {
    const json& want = c.at("tiles").at(i);
    EXPECT_EQ(size_of(got.tiles[i]), (ImageSize{want.at("width"), want.at("height")})) << "tile " << i;
    EXPECT_EQ(sha256_hex(std::as_bytes(std::span(got.tiles[i].rgb))), want.at("sha256")) << "tile " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(AllFamilies, TilingGolden, testing::ValuesIn(golden_cases()), [](const auto& c) {
  return test::test_name(cat(c.param.at("family").template get<std::string>(), "_",
                             c.param.at("picture").template get<std::string>()));
});

TEST(CenterCrop, AShortSideGetsMarginsTheWiderOneFirst) {
  const Image image{2, 2, {1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4}};
  const Image got = center_crop(image, {5, 1});
  // 3 columns too few: 2 in front, 1 behind.  1 row too many: the upper one stays.
  EXPECT_EQ(got.rgb, (std::vector<std::uint8_t>{0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 0, 0, 0}));
}

TEST(CenterCrop, OfTheSameSizeIsTheSamePicture) {
  const Image image = test::noise(9, 5, 1);
  EXPECT_EQ(test::difference(center_crop(image, {9, 5}), image), "");
}

TEST(Crop, OutsideThePictureIsBlack) {
  const Image got = crop(test::noise(4, 4, 1), 100, -100, {3, 2});
  EXPECT_EQ(got.rgb, std::vector<std::uint8_t>(18, 0));
}

TEST(PaddedToSquare, PutsThePictureIntoTheMiddle) {
  const Image wide{3, 1, {1, 1, 1, 2, 2, 2, 3, 3, 3}};
  const Image padded = padded_to_square(wide, {7, 8, 9});
  EXPECT_EQ(padded.width, 3);
  EXPECT_EQ(padded.height, 3);
  EXPECT_EQ(padded.rgb, (std::vector<std::uint8_t>{7, 8, 9, 7, 8, 9, 7, 8, 9, 1, 1, 1, 2, 2,
                                                   2, 3, 3, 3, 7, 8, 9, 7, 8, 9, 7, 8, 9}));
  const Image tall{1, 2, {1, 1, 1, 2, 2, 2}};  // of an odd margin the smaller half, nothing here, comes first
  EXPECT_EQ(padded_to_square(tall, {7, 8, 9}).rgb,
            (std::vector<std::uint8_t>{1, 1, 1, 7, 8, 9, 2, 2, 2, 7, 8, 9}));
  EXPECT_THROW(padded_to_square({20000, 1, std::vector<std::uint8_t>(60000)}, {0, 0, 0}), Error);
}

TEST(ShortSideSize, TruncatesTheLongSide) {
  EXPECT_EQ(short_side_size({400, 63}, 70), (ImageSize{444, 70}));
  EXPECT_EQ(short_side_size({63, 400}, 70), (ImageSize{70, 444}));
  EXPECT_EQ(short_side_size({50, 50}, 70), (ImageSize{70, 70}));
}

TEST(Cut, TilesPutTogetherAreThePicture) {
  const Image image = test::noise(12, 6, 1);
  const std::vector<Image> tiles = cut(image, {3, 2});
  ASSERT_EQ(tiles.size(), 6u);
  EXPECT_EQ(test::difference(tiles[4], crop(image, 4, 3, {4, 3})), "");
  EXPECT_THROW(cut(image, {5, 1}), Error);
}

TEST(NearestGrid, OfEquallyNearGridsTheOneThatIsMoreThanHalfFullWins) {
  // A square fits 1 x 1, 2 x 2 and 3 x 3 alike; 3 x 3 tiles of 32 are 9216 pixels.
  EXPECT_EQ(nearest_grid({20, 20}, 32, 1, 12), (TileGrid{1, 1}));
  EXPECT_EQ(nearest_grid({46, 46}, 32, 1, 12), (TileGrid{2, 2}));
  EXPECT_EQ(nearest_grid({67, 67}, 32, 1, 12), (TileGrid{2, 2}));
  EXPECT_EQ(nearest_grid({68, 68}, 32, 1, 12), (TileGrid{3, 3}));
  EXPECT_EQ(nearest_grid({100, 10}, 32, 1, 12), (TileGrid{10, 1}));
  EXPECT_EQ(nearest_grid({10, 10000}, 32, 1, 12), (TileGrid{1, 12}));
  EXPECT_EQ(nearest_grid({20, 20}, 32, 3, 4), (TileGrid{2, 2}));
}

TEST(Tiling, SettingsThatMakeNoSenseAreInputErrors) {
  const Image image = test::noise(8, 8, 1);
  const std::vector<std::function<void()>> bad = {
      [&] { nearest_grid({8, 8}, 0, 1, 12); },
      [&] { nearest_grid({8, 8}, 32, 0, 12); },
      [&] { nearest_grid({8, 8}, 32, 5, 4); },
      [&] { nearest_grid({8, 8}, 32, 1, std::int64_t{1} << 40); },
      [&] { tile_by_longest_edge(image, 0, 64); },
      [&] { tile_by_longest_edge(image, 4096, 1); },
      [&] { slice_by_area(image, -1, 14, 9); },
      [&] { slice_by_area(image, 448, 14, 0); },
      [&] { short_side_size({1, 1'000'000}, std::int64_t{1} << 40); },
  };
  for (std::size_t i = 0; i < bad.size(); ++i) {
    try {
      bad[i]();
      ADD_FAILURE() << "case " << i;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::input) << "case " << i;
    }
  }
}

TEST(Tiling, ExtremePicturesAreCutOrRefusedButNeverCrash) {
  for (const ImageSize size : {ImageSize{1, 1}, ImageSize{1, 3000}, ImageSize{3000, 1}, ImageSize{2, 3}}) {
    const Image image = test::noise(size.width, size.height, 1);
    EXPECT_FALSE(tile_by_aspect(image, 28, 1, 12, Thumbnail::yes).tiles.empty());
    EXPECT_FALSE(tile_by_longest_edge(image, 192, 64).tiles.empty());
    EXPECT_FALSE(slice_by_area(image, 56, 14, 9).tiles.empty());
  }
}

}  // namespace
}  // namespace mquant
