#include "vision/patches.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "golden.h"
#include "mquant/error.h"
#include "tests/support/files.h"
#include "vision/decode.h"

namespace mquant {
namespace {

using test::data_path;

/// goldens/qwen2_vl/model/preprocessor_config.json.
constexpr PatchLayout kLayout = {.patch = 14, .temporal = 2, .merge = 2};
constexpr std::int64_t kFactor = 28, kMinPixels = 3136, kMaxPixelsOfModel = 12544;
const Normalization kClip = {
    {0.48145466, 0.4578275, 0.40821073}, {0.26862954, 0.26130258, 0.27577711}, 1 / 255.0};

struct Case {
  const char* name;
  std::vector<const char*> pictures;
};
void PrintTo(const Case& value, std::ostream* out) { *out << value.name; }

class PatchesGolden : public testing::TestWithParam<Case> {
 protected:
  static const test::Golden& golden() {
    static const test::Golden tensors(data_path("goldens/qwen2_vl/golden.safetensors"));
    return tensors;
  }
  std::string key(const std::string& tensor) const { return GetParam().name + ("/" + tensor); }
  static Image resized(const char* picture) {
    const Image image = open_image(data_path("goldens/qwen2_vl/images") / picture);
    return resize(image, smart_resize(size_of(image), kFactor, kMinPixels, kMaxPixelsOfModel));
  }
};

TEST_P(PatchesGolden, PicturesAreResizedAsTransformersDoes) {
  for (std::size_t i = 0; i < GetParam().pictures.size(); ++i)
    EXPECT_EQ(test::difference(resized(GetParam().pictures[i]), golden().image(key(cat("resized_u8.", i)))),
              "");
}

TEST_P(PatchesGolden, PixelValuesAndGridsAreThoseOfTransformers) {
  const NormalizationTable table = normalization_table(kClip);
  std::vector<float> pixels;
  std::vector<std::int64_t> grids;
  for (const char* picture : GetParam().pictures) {
    const Grid grid = append_patches(resized(picture), kLayout, table, pixels);
    grids.insert(grids.end(), {grid.t, grid.h, grid.w});
  }
  EXPECT_EQ(grids, golden().integers(key("image_grid_thw")));
  const std::vector<float> want = golden().floats(key("pixel_values"));
  ASSERT_EQ(pixels.size(), want.size());
  // Half-precision goldens are rounded: 2^-11 of the value.  Those in float32 are equal to the last bit.
  const float relative = golden().is_float32(key("pixel_values")) ? 0.0F : 0x1p-11F;
  for (std::size_t i = 0; i < want.size(); ++i)
    ASSERT_LE(std::abs(pixels[i] - want[i]), relative * std::abs(want[i])) << "at " << i;
}

INSTANTIATE_TEST_SUITE_P(Qwen2Vl, PatchesGolden,
                         testing::Values(Case{"photo", {"china.jpg"}},
                                         Case{"two_images", {"astronaut.png", "camera_grey.png"}},
                                         Case{"wide", {"wide.jpg"}}, Case{"chat", {"alpha.png"}},
                                         Case{"unicode", {"tiny.png"}}),
                         [](const auto& test_case) { return std::string(test_case.param.name); });

/// Values of transformers 5.23's smart_resize.
TEST(SmartResize, RoundsHalvesToEvenAndScalesBackIntoTheLimits) {
  const auto sized = [](std::int64_t width, std::int64_t height) {
    return smart_resize({width, height}, 28, 3136, 12845056);
  };
  EXPECT_EQ(sized(70, 98), (ImageSize{56, 112}));  // 2.5 and 3.5 steps
  EXPECT_EQ(sized(1000, 700), (ImageSize{1008, 700}));
  EXPECT_EQ(sized(1, 1), (ImageSize{56, 56}));  // up to min_pixels
  EXPECT_EQ(sized(10, 10), (ImageSize{56, 56}));
  EXPECT_EQ(sized(200, 1), (ImageSize{812, 28}));
  EXPECT_EQ(sized(8000, 6000), (ImageSize{4116, 3080}));  // down to max_pixels
  EXPECT_EQ(smart_resize({5000, 30}, 28, 3136, 12544), (ImageSize{1428, 28}));
}

TEST(SmartResize, RefusesEmptyAndEndlessPictures) {
  EXPECT_NO_THROW(smart_resize({200, 1}, 28, 3136, 12544));
  for (const ImageSize bad : {ImageSize{201, 1}, ImageSize{1, 201}, ImageSize{0, 0}, ImageSize{0, 10}})
    EXPECT_THROW(smart_resize(bad, 28, 3136, 12544), Error) << bad.width << " x " << bad.height;
}

TEST(Patches, WithoutMergingComeInRasterOrder) {
  Image image{4, 4, {}};
  for (std::uint8_t i = 0; i < 48; ++i) image.rgb.push_back(i);
  NormalizationTable same;
  for (auto& channel : same)
    for (std::size_t value = 0; value < 256; ++value) channel[value] = static_cast<float>(value);
  std::vector<float> pixels = {-1};  // what is there stays
  const Grid grid = append_patches(image, {.patch = 2, .temporal = 1, .merge = 1}, same, pixels);
  EXPECT_EQ(grid.rows(), 4);
  ASSERT_EQ(pixels.size(), 1u + 4 * 12);
  // Patch (0, 1): x 2 and 3 of rows 0 and 1, red first.
  const std::vector<float> second(pixels.begin() + 13, pixels.begin() + 25);
  EXPECT_EQ(second, (std::vector<float>{6, 9, 18, 21, 7, 10, 19, 22, 8, 11, 20, 23}));
  EXPECT_EQ(pixels[0], -1);
}

TEST(Patches, MergedBlocksAreContiguousAndFramesRepeat) {
  Image image{8, 4, {}};
  for (std::uint8_t y = 0; y < 4; ++y)
    for (std::uint8_t x = 0; x < 8; ++x)
      image.rgb.insert(image.rgb.end(), 3, static_cast<std::uint8_t>(10 * y + x));
  const NormalizationTable same = normalization_table({{0, 0, 0}, {1, 1, 1}, 1.0});
  std::vector<float> pixels;
  const Grid grid = append_patches(image, {.patch = 1, .temporal = 2, .merge = 2}, same, pixels);
  EXPECT_EQ(grid.h, 4);
  EXPECT_EQ(grid.w, 8);
  std::vector<float> order;
  for (std::size_t i = 0; i < pixels.size(); i += 6) {
    EXPECT_EQ(pixels[i], pixels[i + 1]);
    order.push_back(pixels[i]);
  }
  order.resize(10);
  EXPECT_EQ(order, (std::vector<float>{0, 1, 10, 11, 2, 3, 12, 13, 4, 5}));
}

TEST(Patches, APictureOfNoWholeBlocksIsOurBug) {
  std::vector<float> pixels;
  const NormalizationTable table = normalization_table({});
  EXPECT_THROW(append_patches(test::noise(30, 28, 1), kLayout, table, pixels), Error);
  EXPECT_TRUE(pixels.empty());
}

TEST(NormalizationTable, RefusesNumbersThatWouldGiveNoPixels) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THROW(normalization_table({{0, 0, 0}, {1, 0, 1}}), Error);
  EXPECT_THROW(normalization_table({{0, 0, 0}, {1, 1e-60, 1}}), Error);
  EXPECT_THROW(normalization_table({{0, nan, 0}, {1, 1, 1}}), Error);
  EXPECT_THROW(normalization_table({{0, 0, 0}, {1, 1, 1}, nan}), Error);
}

}  // namespace
}  // namespace mquant
