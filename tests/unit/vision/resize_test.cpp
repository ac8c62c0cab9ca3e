#include "vision/resize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "golden.h"
#include "mquant/error.h"
#include "tests/support/files.h"
#include "vision/decode.h"

namespace mquant {
namespace {

using test::data_path;
using test::difference;

const test::Golden& golden() {
  static const test::Golden pictures(data_path("goldens/images/golden.safetensors"));
  return pictures;
}

struct FilterName {
  ResizeFilter filter;
  const char* name;
};
constexpr FilterName kFilters[] = {{ResizeFilter::bilinear, "bilinear"},
                                   {ResizeFilter::bicubic, "bicubic"},
                                   {ResizeFilter::lanczos, "lanczos"}};

class ResizeGolden : public testing::TestWithParam<std::string> {};

TEST_P(ResizeGolden, EveryFilterAndSizeGivesTheBytesOfPillow) {
  const std::string name = GetParam();
  const Image image = golden().image(name + "/rgb");
  for (const auto& [filter, filter_name] : kFilters)
    for (const ImageSize size : {ImageSize{28, 28}, ImageSize{56, 84}, ImageSize{112, 56}}) {
      const std::string key = cat(name, "/", filter_name, "_", size.width, "x", size.height);
      EXPECT_EQ(difference(resize(image, size, {.filter = filter}), golden().image(key)), "") << key;
    }
}

INSTANTIATE_TEST_SUITE_P(AllPictures, ResizeGolden, testing::ValuesIn(test::picture_names()),
                         [](const auto& picture) { return test::test_name(picture.param); });

TEST(Resize, TheSameSizeIsTheSamePicture) {
  const Image image = test::noise(31, 17, 1);
  EXPECT_EQ(difference(resize(image, {31, 17}), image), "");
}

TEST(Resize, OneFlatColourStaysThatColour) {
  for (const auto& [filter, name] : kFilters)
    for (const ImageSize size :
         {ImageSize{1, 1}, ImageSize{7, 300}, ImageSize{300, 7}, ImageSize{129, 257}}) {
      Image image{64, 48, {}};
      for (int i = 0; i < 64 * 48; ++i) image.rgb.insert(image.rgb.end(), {0, 200, 255});
      const Image got = resize(image, size, {.filter = filter});
      for (std::size_t i = 0; i < got.rgb.size(); i += 3)
        ASSERT_TRUE(got.rgb[i] == 0 && got.rgb[i + 1] == 200 && got.rgb[i + 2] == 255) << name << " at " << i;
    }
}

/// Transposed pictures with the other pass first are transposed results.
TEST(Resize, TheTwoPassesAreEachOthersTranspose) {
  const auto transposed = [](const Image& image) {
    Image out{image.height, image.width, {}};
    for (std::int64_t y = 0; y < out.height; ++y)
      for (std::int64_t x = 0; x < out.width; ++x)
        for (std::int64_t c = 0; c < 3; ++c)
          out.rgb.push_back(image.rgb[static_cast<std::size_t>((x * image.width + y) * 3 + c)]);
    return out;
  };
  const Image tall = test::noise(40, 300, 2);  // 270 rows less, 5 columns less: rows first in Pillow 13
  const Image rows_first = resize(tall, {35, 30});
  const Image columns_first = resize(transposed(tall), {30, 35}, {.order = PassOrder::horizontal_first});
  EXPECT_EQ(difference(rows_first, transposed(columns_first)), "");
}

TEST(Resize, PassOrderFollowsPillow13ByTheDifferenceInPixels) {
  const Image image = test::noise(100, 100, 3);
  const auto orders_agree = [&](ImageSize size) {
    return difference(resize(image, size), resize(image, size, {.order = PassOrder::horizontal_first}))
        .empty();
  };
  EXPECT_TRUE(orders_agree({80, 60}));   // 40 rows less is not more than twice 20
  EXPECT_FALSE(orders_agree({80, 59}));  // 41 is
  EXPECT_TRUE(orders_agree({50, 101}));  // rows are added
  EXPECT_FALSE(orders_agree({130, 99}));
}

TEST(Resize, ABoxSamplesOnlyThatPart) {
  const Image image = test::noise(60, 50, 4);
  Image part{20, 10, {}};
  for (std::size_t y = 30; y < 40; ++y)
    part.rgb.insert(part.rgb.end(), image.rgb.begin() + static_cast<std::ptrdiff_t>((y * 60 + 10) * 3),
                    image.rgb.begin() + static_cast<std::ptrdiff_t>((y * 60 + 30) * 3));
  // Without a change of size no pixel outside has any weight.
  EXPECT_EQ(difference(resize(image, {20, 10}, {.box = SampleBox{10, 30, 30, 40}}), part), "");
  EXPECT_NE(difference(resize(image, {20, 10}, {.box = SampleBox{10.5F, 30, 30.5F, 40}}), part), "");
  for (const SampleBox bad : {SampleBox{-1, 0, 10, 10}, SampleBox{0, 0, 61, 10}, SampleBox{5, 5, 5, 10}})
    EXPECT_THROW(resize(image, {20, 10}, {.box = bad}), Error);
}

TEST(Resize, OddSizesAreNoSpecialCase) {
  for (const ImageSize from : {ImageSize{1, 1}, ImageSize{1, 5000}, ImageSize{5000, 1}, ImageSize{3, 2}})
    for (const ImageSize to : {ImageSize{1, 1}, ImageSize{1, 997}, ImageSize{997, 1}, ImageSize{28, 56}})
      for (const auto& [filter, name] : kFilters) {
        const Image got = resize(test::noise(from.width, from.height, 5), to, {.filter = filter});
        EXPECT_EQ(size_of(got), to);
        EXPECT_EQ(got.rgb.size(), static_cast<std::size_t>(to.area() * 3));
      }
}

TEST(Resize, RefusesEmptyAndGiganticResults) {
  const Image image = test::noise(4, 4, 6);
  for (const ImageSize bad : {ImageSize{0, 5}, ImageSize{5, -1}, ImageSize{1'000'000, 1'000'000},
                              ImageSize{std::int64_t{1} << 62, std::int64_t{1} << 62}}) {
    try {
      resize(image, bad);
      ADD_FAILURE() << bad.width << " x " << bad.height;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::input);
    }
  }
}

TEST(Resize, ThreadsDoNotDisturbEachOther) {
  const Image image = test::noise(200, 150, 7);
  const Image want = resize(image, {61, 47});
  std::vector<Image> got(4);
  std::vector<std::thread> threads;
  for (Image& result : got) threads.emplace_back([&image, &result] { result = resize(image, {61, 47}); });
  for (std::thread& thread : threads) thread.join();
  for (const Image& result : got) EXPECT_EQ(difference(result, want), "");
}

}  // namespace
}  // namespace mquant
