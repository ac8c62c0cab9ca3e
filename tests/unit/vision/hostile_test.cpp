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

/// True if the bytes decode; an error has to be a proper one.  (A mutant's first bytes may name another format.)
bool decodes(std::span<const std::byte> bytes) {
  try {
    const Image image = decode_image(bytes, "picture", {.max_pixels = kLimit});
    EXPECT_GT(image.width, 0);
    EXPECT_GT(image.height, 0);
    EXPECT_EQ(image.rgb.size(), static_cast<std::size_t>(image.width * image.height * 3));
    return true;
  } catch (const Error& error) {
    EXPECT_THAT(error.kind(), testing::AnyOf(ErrorKind::input, ErrorKind::unsupported)) << error.what();
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

TEST(HostilePicture, MutatedWebpGifAndBmpNeverCrash) {
  std::mt19937 generator(13);
  int broken = 0, rounds = 0;
  for (const std::string& name : test::picture_names("pictures")) {
    const std::vector<std::byte> whole = test::read_bytes(test::data_path("goldens/pictures") / name);
    for (std::size_t length = 0; length < whole.size(); length += 1 + whole.size() / 100)
      decodes(std::span(whole).first(length));
    for (int round = 0; round < 200; ++round, ++rounds) {
      std::vector<std::byte> mutant = whole;
      const std::size_t reach = round % 2 == 0 ? mutant.size() : std::min<std::size_t>(mutant.size(), 60);
      for (int i = 0; i <= round % 5; ++i)
        mutant[generator() % reach] = static_cast<std::byte>(generator() & 0xFF);
      if (!decodes(mutant)) ++broken;
    }
  }
  EXPECT_GT(broken, rounds / 10);
}

/// What Pillow 13 makes of a tag of each type of TIFF 6.0: ImageOps.exif_transpose looks the value up among 2 to 8.
TEST(Exif, OrientationCountsInEveryNumericTypeButByte) {
  const auto tiff = [](int type, std::uint32_t count, std::vector<std::uint8_t> value) {
    std::vector<std::uint8_t> bytes = {
        'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, static_cast<std::uint8_t>(type), 0};
    for (int i = 0; i < 4; ++i) bytes.push_back(static_cast<std::uint8_t>(count >> (8 * i)));
    if (value.size() > 4) bytes.insert(bytes.end(), {22, 0, 0, 0});
    value.resize(std::max<std::size_t>(value.size(), 4));
    bytes.insert(bytes.end(), value.begin(), value.end());
    return codec::exif_orientation(bytes);
  };
  constexpr int kByte = 1, kAscii = 2, kShort = 3, kLong = 4, kRational = 5, kSbyte = 6, kUndefined = 7,
                kSshort = 8, kSlong = 9, kSrational = 10, kFloat = 11, kDouble = 12;
  EXPECT_EQ(tiff(kShort, 1, {6, 0}), 6);
  EXPECT_EQ(tiff(kLong, 1, {6, 0, 0, 0}), 6);
  EXPECT_EQ(tiff(kSbyte, 1, {6}), 6);
  EXPECT_EQ(tiff(kSshort, 1, {6, 0}), 6);
  EXPECT_EQ(tiff(kSlong, 1, {6, 0, 0, 0}), 6);
  EXPECT_EQ(tiff(kFloat, 1, {0, 0, 0xC0, 0x40}), 6);
  EXPECT_EQ(tiff(kDouble, 1, {0, 0, 0, 0, 0, 0, 0x18, 0x40}), 6);
  EXPECT_EQ(tiff(kRational, 1, {12, 0, 0, 0, 2, 0, 0, 0}), 6);
  EXPECT_EQ(tiff(kSrational, 1, {0xFA, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}), 6);
  EXPECT_EQ(tiff(kShort, 2, {6, 0, 3, 0}), 6);
  EXPECT_EQ(tiff(kShort, 3, {6, 0, 3, 0, 3, 0}), 6);
  EXPECT_EQ(tiff(kByte, 1, {6}), 1);
  EXPECT_EQ(tiff(kAscii, 2, {'6', 0}), 1);
  EXPECT_EQ(tiff(kUndefined, 1, {6}), 1);
  EXPECT_EQ(tiff(kSbyte, 1, {0xFA}), 1);
  EXPECT_EQ(tiff(kFloat, 1, {0, 0, 0xD0, 0x40}), 1);           // 6.5
  EXPECT_EQ(tiff(kRational, 1, {6, 0, 0, 0, 0, 0, 0, 0}), 1);  // over zero
  EXPECT_EQ(tiff(kShort, 1, {9, 0}), 1);
  EXPECT_EQ(tiff(kShort, 0, {6, 0}), std::nullopt);
  EXPECT_EQ(tiff(99, 1, {6, 0}), std::nullopt);
  EXPECT_EQ(tiff(kShort, 0xFFFFFFFF, {6, 0}), std::nullopt);
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
