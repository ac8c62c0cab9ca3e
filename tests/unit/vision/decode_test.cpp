#include "vision/decode.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "golden.h"
#include "mquant/error.h"
#include "tests/support/files.h"
#include "tests/support/temp_dir.h"

namespace mquant {
namespace {

using test::data_path;
using test::difference;
using testing::HasSubstr;

const test::Golden& golden() {
  static const test::Golden pictures(data_path("goldens/images/golden.safetensors"));
  return pictures;
}

/// The kind and text of what `work` throws.
template <class Work>
std::pair<ErrorKind, std::string> error_of(Work&& work) {
  try {
    work();
  } catch (const Error& error) {
    return {error.kind(), error.what()};
  }
  return {ErrorKind::internal, "nothing was thrown"};
}

std::vector<std::byte> bytes_of(std::string_view text) {
  std::vector<std::byte> bytes;
  for (const char c : text) bytes.push_back(static_cast<std::byte>(c));
  return bytes;
}

class PictureGolden : public testing::TestWithParam<std::string> {};

TEST_P(PictureGolden, DecodesToTheBytesOfPillow) {
  const Image got = open_image(data_path("goldens/images") / GetParam());
  EXPECT_EQ(difference(got, golden().image(GetParam() + "/rgb")), "");
}

TEST_P(PictureGolden, WithoutOrientationDecodesAsStored) {
  const Image got = open_image(data_path("goldens/images") / GetParam(), {.apply_orientation = false});
  const bool rotated = golden().has(GetParam() + "/rgb_without_exif");
  EXPECT_EQ(difference(got, golden().image(GetParam() + (rotated ? "/rgb_without_exif" : "/rgb"))), "");
}

INSTANTIATE_TEST_SUITE_P(AllPictures, PictureGolden, testing::ValuesIn(test::picture_names()),
                         [](const auto& picture) { return test::test_name(picture.param); });

TEST(Decode, TheGoldenFoldersHaveAllKindsOfPictures) {
  EXPECT_EQ(test::picture_names().size(), 16u);
  EXPECT_EQ(test::picture_names("pictures").size(), 28u);
}

/// WebP: lossy, lossless, with alpha, rotated, animated.  GIF: interlaced, smaller or larger than the screen.
/// BMP: of all depths, from the top and from the bottom.
TEST(Decode, WebpGifAndBmpDecodeToTheBytesOfPillow) {
  const test::Golden pictures(data_path("goldens/pictures/golden.safetensors"));
  for (const std::string& name : test::picture_names("pictures"))
    EXPECT_EQ(difference(open_image(data_path("goldens/pictures") / name), pictures.image(name + "/rgb")), "")
        << name;
}

/// Exif 2.32, orientation: which side of the picture row 0 and column 0 of the file are.
TEST(Decode, EveryExifOrientationBringsTheVisualTopUp) {
  const std::filesystem::path file = data_path("goldens/images/exif_rotated.jpg");
  std::vector<std::byte> bytes = test::read_bytes(file);
  const Image stored = open_image(file, {.apply_orientation = false});
  // Tag 0x0112, type SHORT, count 1, value 6; in the file's byte order.
  const std::vector<std::byte> big = bytes_of({"\x01\x12\0\x03\0\0\0\x01\0\x06", 10});
  const std::vector<std::byte> little = bytes_of({"\x12\x01\x03\0\x01\0\0\0\x06\0", 10});
  auto entry = std::search(bytes.begin(), bytes.end(), big.begin(), big.end());
  const bool is_big = entry != bytes.end();
  if (!is_big) entry = std::search(bytes.begin(), bytes.end(), little.begin(), little.end());
  ASSERT_NE(entry, bytes.end());

  const std::int64_t w = stored.width, h = stored.height;
  ASSERT_NE(w, h);
  // Where the stored pixel (x, y) is seen.
  const auto seen_at = [w, h](int orientation, std::int64_t x,
                              std::int64_t y) -> std::array<std::int64_t, 2> {
    switch (orientation) {
      case 2: return {w - 1 - x, y};
      case 3: return {w - 1 - x, h - 1 - y};
      case 4: return {x, h - 1 - y};
      case 5: return {y, x};
      case 6: return {h - 1 - y, x};
      case 7: return {h - 1 - y, w - 1 - x};
      case 8: return {y, w - 1 - x};
      default: return {x, y};
    }
  };
  for (int orientation = 0; orientation <= 9; ++orientation) {
    *(entry + (is_big ? 9 : 8)) = static_cast<std::byte>(orientation);
    const bool rotated = orientation >= 5 && orientation <= 8;
    Image want{rotated ? h : w, rotated ? w : h, std::vector<std::uint8_t>(stored.rgb.size())};
    for (std::int64_t y = 0; y < h; ++y)
      for (std::int64_t x = 0; x < w; ++x) {
        const auto [to_x, to_y] = seen_at(orientation, x, y);
        std::copy_n(stored.rgb.begin() + (y * w + x) * 3, 3,
                    want.rgb.begin() + (to_y * want.width + to_x) * 3);
      }
    EXPECT_EQ(difference(decode_image(bytes, "picture"), want), "") << "orientation " << orientation;
  }
}

TEST(Decode, NamesTheFormatOfWhatItCannotRead) {
  struct File {
    std::string_view head;
    std::string message;
    ErrorKind kind = ErrorKind::unsupported;
  };
  const std::vector<File> files = {
      {{"\0\0\0\x18"
        "ftypheic\0\0\0\0",
        16},
       "found a HEIC picture, which is not supported; convert it to PNG"},
      {{"\0\0\0\x18"
        "ftypavif\0\0\0\0",
        16},
       "found an AVIF picture"},
      {{"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\x08\0\x01\0\0\0", 34},
       "a BMP picture of 8 bits and compression 1 is not supported"},
      {"BM6\x03", "truncated BMP", ErrorKind::input},
      {{"II*\0\x08", 5}, "found a TIFF picture"},
      {"<!DOCTYPE html><p>404", "found a web page", ErrorKind::input},
      {"version https://git-lfs.github.com/spec/v1\n", "found a Git LFS pointer", ErrorKind::input},
      {"just some text", "the first bytes are of none of these formats", ErrorKind::input},
      {"", "the file is empty", ErrorKind::input},
      {{"GIF89a\x01\0\x01\0", 10}, "truncated or broken GIF", ErrorKind::input},
      {{"RIFF\x10\0\0\0WEBPVP8 ", 16}, "truncated or broken WebP", ErrorKind::input},
  };
  for (const auto& [head, message, expected] : files) {
    const auto [kind, what] = error_of([&] { decode_image(bytes_of(head), "pictures/x.png"); });
    EXPECT_EQ(kind, expected) << what;
    EXPECT_THAT(what, HasSubstr(message));
    EXPECT_THAT(what, testing::StartsWith("pictures/x.png: "));
    EXPECT_EQ(std::count(what.begin(), what.end(), '\n'), 0);
  }
}

TEST(Decode, RefusesPicturesOverThePixelLimitBeforeDecoding) {
  for (const char* name : {"images/rgb.png", "images/jpeg444.jpg", "pictures/lossy.webp",
                           "pictures/plain.gif", "pictures/rgb.bmp"}) {
    const std::filesystem::path file = data_path("goldens") / name;
    const Image whole = open_image(file);
    const std::int64_t pixels = whole.width * whole.height;
    EXPECT_NO_THROW(open_image(file, {.max_pixels = pixels}));
    const auto [kind, what] = error_of([&] { open_image(file, {.max_pixels = pixels - 1}); });
    EXPECT_EQ(kind, ErrorKind::input);
    EXPECT_THAT(what, HasSubstr(cat("more than the limit of ", pixels - 1)));
  }
}

TEST(Decode, SaysWhyAFileCannotBeOpened) {
  const test::TempDir directory;
  const auto absent = error_of([&] { open_image(directory / "absent.png"); });
  EXPECT_EQ(absent.first, ErrorKind::input);
  EXPECT_THAT(absent.second, HasSubstr("absent.png: no such picture"));
  const auto folder = error_of([&] { open_image(directory.path()); });
  EXPECT_EQ(folder.first, ErrorKind::input);
  EXPECT_THAT(folder.second, HasSubstr("found a directory"));
}

}  // namespace
}  // namespace mquant
