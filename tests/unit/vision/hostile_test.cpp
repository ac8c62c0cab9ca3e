// Broken pictures: an Error{input} or a picture of the size it says, never a crash.  Worth most under sanitizers.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "golden.h"
#include "mquant/error.h"
#include "tests/support/files.h"
#include "vision/decode.h"
#include "vision/orientation.h"

namespace mquant {
namespace {

/// Small: a mutated header must not make the test slow.
constexpr std::int64_t kLimit = 1'000'000;

/// True if the bytes decode; an error has to be a proper one.
bool decodes(std::span<const std::byte> bytes) {
  try {
    const Image image = decode_image(bytes, "picture", {.max_pixels = kLimit});
    EXPECT_GT(image.width, 0);
    EXPECT_GT(image.height, 0);
    EXPECT_EQ(image.rgb.size(), static_cast<std::size_t>(image.width * image.height * 3));
    return true;
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::input) << error.what();
    EXPECT_THAT(error.what(), testing::StartsWith("picture: "));
    return false;
  }
}

class HostilePicture : public testing::TestWithParam<std::string> {
 protected:
  std::vector<std::byte> bytes() const {
    return test::read_bytes(test::data_path("goldens/images") / GetParam());
  }
};

TEST_P(HostilePicture, TruncatedAnywhereIsAnErrorUntilThePixelsAreThere) {
  const std::vector<std::byte> whole = bytes();
  ASSERT_TRUE(decodes(whole));
  std::size_t shortest = whole.size();
  const std::size_t step = std::max<std::size_t>(1, whole.size() / 400);
  for (std::size_t length = 0; length < whole.size(); length += length + 40 < whole.size() ? step : 1)
    if (decodes(std::span(whole).first(length))) shortest = std::min(shortest, length);
  // A PNG ends with checksum and IEND, 16 bytes; a JPEG with an end marker of 2 and padding that holds no sample.
  EXPECT_GE(shortest + 20, whole.size());
}

TEST_P(HostilePicture, MutatedBytesNeverCrash) {
  std::mt19937 generator(7);
  const std::vector<std::byte> whole = bytes();
  int broken = 0;
  for (int round = 0; round < 300; ++round) {
    std::vector<std::byte> mutant = whole;
    // Half of the rounds in the headers, where a byte does most harm.
    const std::size_t reach = round % 2 == 0 ? mutant.size() : std::min<std::size_t>(mutant.size(), 700);
    for (int i = 0; i <= round % 8; ++i)
      mutant[generator() % reach] = static_cast<std::byte>(generator() & 0xFF);
    if (!decodes(mutant)) ++broken;
  }
  EXPECT_GT(broken, 0);
}

TEST_P(HostilePicture, InsertedRemovedAndRepeatedBytesNeverCrash) {
  std::mt19937 generator(11);
  const std::vector<std::byte> whole = bytes();
  for (int round = 0; round < 100; ++round) {
    std::vector<std::byte> mutant = whole;
    const auto at = static_cast<std::ptrdiff_t>(8 + generator() % (mutant.size() - 8));
    const auto length = std::min<std::ptrdiff_t>(static_cast<std::ptrdiff_t>(1 + generator() % 64),
                                                 static_cast<std::ptrdiff_t>(mutant.size()) - at);
    const std::vector<std::byte> piece(mutant.begin() + at, mutant.begin() + at + length);
    switch (round % 3) {
      case 0: mutant.erase(mutant.begin() + at, mutant.begin() + at + length); break;
      case 1: mutant.insert(mutant.begin() + at, piece.begin(), piece.end()); break;
      default: mutant.insert(mutant.begin() + at, static_cast<std::size_t>(length), std::byte{0xFF}); break;
    }
    decodes(mutant);
  }
}

INSTANTIATE_TEST_SUITE_P(AllPictures, HostilePicture, testing::ValuesIn(test::picture_names()),
                         [](const auto& picture) { return test::test_name(picture.param); });

/// Each scan is a walk over the whole picture, so a small file could keep a decoder busy for hours.
TEST(HostileJpeg, ThousandsOfScansAreRefused) {
  std::vector<std::byte> bytes = test::read_bytes(test::data_path("goldens/images/progressive.jpg"));
  const std::array start_of_scan = {std::byte{0xFF}, std::byte{0xDA}};
  const auto last = std::find_end(bytes.begin(), bytes.end(), start_of_scan.begin(), start_of_scan.end());
  ASSERT_NE(last, bytes.end());
  const std::vector<std::byte> scan(last, bytes.end() - 2), end(bytes.end() - 2, bytes.end());
  bytes.resize(bytes.size() - end.size());
  for (int i = 0; i < 3000; ++i) bytes.insert(bytes.end(), scan.begin(), scan.end());
  bytes.insert(bytes.end(), end.begin(), end.end());
  try {
    decode_image(bytes, "picture");
    FAIL() << "decoded";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::input);
    EXPECT_THAT(error.what(), testing::HasSubstr("more than 500 scans"));
  }
}

TEST(HostileExif, AnyBytesGiveAnOrientationOrNone) {
  std::mt19937 generator(3);
  const std::vector<std::uint8_t> good = {'M',  'M', 0, 42, 0, 0, 0, 8, 0, 1, 1,
                                          0x12, 0,   3, 0,  0, 0, 1, 0, 8, 0, 0};
  ASSERT_EQ(codec::exif_orientation(good), 8);
  for (std::size_t length = 0; length < good.size(); ++length)
    EXPECT_EQ(codec::exif_orientation(std::span(good).first(length)), std::nullopt) << length;
  for (int round = 0; round < 20000; ++round) {
    std::vector<std::uint8_t> mutant = good;
    for (int i = 0; i < 3; ++i) mutant[generator() % mutant.size()] = static_cast<std::uint8_t>(generator());
    const std::optional<int> found = codec::exif_orientation(mutant);
    EXPECT_TRUE(!found || (*found >= 1 && *found <= 8));
  }
}

TEST(HostileExif, XmpIsReadAsAttributeAndAsElement) {
  EXPECT_EQ(codec::xmp_orientation("<rdf tiff:Orientation=\"6\"/>"), 6);
  EXPECT_EQ(codec::xmp_orientation("<tiff:Orientation>3</tiff:Orientation>"), 3);
  EXPECT_EQ(codec::xmp_orientation("tiff:Orientation=\"9\""), std::nullopt);
  EXPECT_EQ(codec::xmp_orientation("tiff:Orientation"), std::nullopt);
  EXPECT_EQ(codec::xmp_orientation("tiff:Orientation="), std::nullopt);
  EXPECT_EQ(codec::xmp_orientation("tiff:Orientation>"), std::nullopt);
  EXPECT_EQ(codec::xmp_orientation(""), std::nullopt);
}

}  // namespace
}  // namespace mquant
