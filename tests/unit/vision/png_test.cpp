// PNG of every kind, written by libpng: what each sample becomes, and which way up.
#include <gtest/gtest.h>
#include <png.h>
#include <zlib.h>

#include <cstring>
#include <string>
#include <vector>

#include "golden.h"
#include "mquant/error.h"
#include "vision/decode.h"

namespace mquant {
namespace {

struct Png {
  png_uint_32 width = 1, height = 1;
  int depth = 8, color = PNG_COLOR_TYPE_GRAY;
  bool interlaced = false;
  std::vector<std::uint8_t> rows;  // packed as PNG packs them
  std::vector<png_color> palette;
  std::string exif;           // TIFF, for eXIf
  std::string keyword, text;  // of a zTXt or, for XMP, iTXt chunk
};

void append(png_structp png, png_bytep data, std::size_t size) {
  auto& out = *static_cast<std::vector<std::byte>*>(png_get_io_ptr(png));
  const auto* begin = reinterpret_cast<const std::byte*>(data);
  out.insert(out.end(), begin, begin + size);
}

std::vector<std::byte> encoded(Png picture) {
  std::vector<std::byte> out;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  png_set_write_fn(png, &out, append, [](png_structp) {});
  png_set_IHDR(png, info, picture.width, picture.height, picture.depth, picture.color,
               picture.interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  if (!picture.palette.empty())
    png_set_PLTE(png, info, picture.palette.data(), static_cast<int>(picture.palette.size()));
  if (!picture.exif.empty())
    png_set_eXIf_1(png, info, static_cast<png_uint_32>(picture.exif.size()),
                   reinterpret_cast<png_bytep>(picture.exif.data()));
  png_text text{};
  if (!picture.keyword.empty()) {
    const bool xmp = picture.keyword.starts_with("XML");
    text.compression = xmp ? PNG_ITXT_COMPRESSION_NONE : PNG_TEXT_COMPRESSION_zTXt;
    text.key = picture.keyword.data();
    text.text = picture.text.data();
    text.text_length = text.itxt_length = picture.text.size();
    png_set_text(png, info, &text, 1);
  }
  png_write_info(png, info);
  const std::size_t row_bytes = picture.rows.size() / picture.height;
  std::vector<png_bytep> rows;
  for (std::size_t y = 0; y < picture.height; ++y) rows.push_back(picture.rows.data() + y * row_bytes);
  png_write_image(png, rows.data());
  png_write_end(png, info);
  png_destroy_write_struct(&png, &info);
  return out;
}

std::vector<std::uint8_t> decoded(const Png& picture) {
  return decode_image(encoded(picture), "picture").rgb;
}

using Bytes = std::vector<std::uint8_t>;

TEST(Png, GreyOfFewBitsIsSpreadOverTheWholeRange) {
  EXPECT_EQ(decoded({.width = 2, .depth = 1, .rows = {0b0100'0000}}), (Bytes{0, 0, 0, 255, 255, 255}));
  EXPECT_EQ(decoded({.width = 4, .depth = 2, .rows = {0b0001'1011}}),
            (Bytes{0, 0, 0, 85, 85, 85, 170, 170, 170, 255, 255, 255}));
  EXPECT_EQ(decoded({.width = 2, .depth = 4, .rows = {0x1E}}), (Bytes{17, 17, 17, 238, 238, 238}));
}

TEST(Png, SixteenBitsKeepTheHighByteButGreyIsClipped) {
  EXPECT_EQ(decoded({.width = 3, .depth = 16, .rows = {0, 254, 1, 0, 255, 255}}),
            (Bytes{254, 254, 254, 255, 255, 255, 255, 255, 255}));
  EXPECT_EQ(decoded({.depth = 16, .color = PNG_COLOR_TYPE_GRAY_ALPHA, .rows = {7, 99, 0, 0}}),
            (Bytes{7, 7, 7}));
  EXPECT_EQ(decoded({.depth = 16, .color = PNG_COLOR_TYPE_RGB, .rows = {1, 99, 2, 99, 3, 99}}),
            (Bytes{1, 2, 3}));
  EXPECT_EQ(decoded({.depth = 16, .color = PNG_COLOR_TYPE_RGB_ALPHA, .rows = {1, 99, 2, 99, 3, 99, 0, 0}}),
            (Bytes{1, 2, 3}));
}

TEST(Png, AlphaIsDroppedNotComposited) {
  EXPECT_EQ(decoded({.color = PNG_COLOR_TYPE_RGB_ALPHA, .rows = {10, 20, 30, 0}}), (Bytes{10, 20, 30}));
  EXPECT_EQ(decoded({.color = PNG_COLOR_TYPE_GRAY_ALPHA, .rows = {10, 0}}), (Bytes{10, 10, 10}));
}

TEST(Png, AnIndexBeyondThePaletteIsBlack) {
  EXPECT_EQ(decoded({.width = 3,
                     .depth = 8,
                     .color = PNG_COLOR_TYPE_PALETTE,
                     .rows = {1, 0, 200},
                     .palette = {{1, 2, 3}, {4, 5, 6}}}),
            (Bytes{4, 5, 6, 1, 2, 3, 0, 0, 0}));
}

TEST(Png, InterlacedIsTheSamePicture) {
  const Image image = test::noise(19, 13, 1);
  for (const bool interlaced : {false, true}) {
    const Png png = {
        .width = 19, .height = 13, .color = PNG_COLOR_TYPE_RGB, .interlaced = interlaced, .rows = image.rgb};
    EXPECT_EQ(decoded(png), image.rgb) << interlaced;
  }
}

/// `picture` with a chunk in front of its pixels.
std::vector<std::byte> with_chunk(std::vector<std::byte> picture, const std::string& name,
                                  const std::string& data, std::uint32_t flip_checksum = 0) {
  const auto number = [](std::uint64_t value) {
    std::string text;
    for (int shift = 24; shift >= 0; shift -= 8) text += static_cast<char>(value >> shift & 0xFF);
    return text;
  };
  const std::string body = name + data;
  const auto checksum = crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size()));
  const std::string chunk = number(data.size()) + body + number(checksum ^ flip_checksum);
  const auto* begin = reinterpret_cast<const std::byte*>(chunk.data());
  picture.insert(picture.begin() + 33, begin, begin + chunk.size());  // after signature and IHDR
  return picture;
}

std::string complaint(const std::vector<std::byte>& bytes) {
  try {
    decode_image(bytes, "picture");
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::input);
    return error.what();
  }
  return "";
}

TEST(Png, ATransparentColourIsDroppedAndATruncatedOneIsAnError) {
  const std::vector<std::byte> rgb = encoded({.color = PNG_COLOR_TYPE_RGB, .rows = {10, 20, 30}});
  EXPECT_EQ(decode_image(with_chunk(rgb, "tRNS", std::string("\0\x0A\0\x14\0\x1E", 6)), "picture").rgb,
            (Bytes{10, 20, 30}));
  EXPECT_EQ(complaint(with_chunk(rgb, "tRNS", "12345")),
            "picture: broken PNG: tRNS: expected 6 bytes, found 5");
  const std::vector<std::byte> grey = encoded({.rows = {7}});
  EXPECT_EQ(decode_image(with_chunk(grey, "tRNS", std::string("\0\x07", 2)), "picture").rgb,
            (Bytes{7, 7, 7}));
  EXPECT_EQ(complaint(with_chunk(grey, "tRNS", "1")), "picture: broken PNG: tRNS: expected 2 bytes, found 1");
  EXPECT_EQ(complaint(with_chunk(grey, "gAMA", "123")),
            "picture: broken PNG: gAMA: expected 4 bytes, found 3");
}

TEST(Png, WhatPillowReadsOfABrokenFileIsReadAndNothingElse) {
  const Image image = test::noise(19, 13, 2);
  for (const bool interlaced : {false, true}) {
    const std::vector<std::byte> whole = encoded({.width = 19,
                                                  .height = 13,
                                                  .color = PNG_COLOR_TYPE_RGB,
                                                  .interlaced = interlaced,
                                                  .rows = image.rgb});
    const auto without_end = [&](std::size_t count) {
      return std::vector(whole.begin(), whole.end() - static_cast<std::ptrdiff_t>(count));
    };
    EXPECT_EQ(decode_image(without_end(12), "picture").rgb, image.rgb);  // no IEND
    EXPECT_EQ(decode_image(without_end(16), "picture").rgb, image.rgb);  // no checksum of pixels either
    EXPECT_NE(complaint(without_end(40)), "");
    std::vector<std::byte> flipped = whole;
    flipped[whole.size() - 13] ^= std::byte{1};  // the checksum of the pixels
    EXPECT_EQ(decode_image(flipped, "picture").rgb, image.rgb);
    std::vector<std::byte> more = whole;
    more.resize(whole.size() + 100);
    EXPECT_EQ(decode_image(more, "picture").rgb, image.rgb);
    EXPECT_EQ(decode_image(with_chunk(whole, "teXt", "a"), "picture").rgb, image.rgb);
    EXPECT_NE(complaint(with_chunk(whole, "teXt", "a", 1)), "");  // the checksum of a chunk before them
  }
}

/// Two pixels, black and white, of which the second is seen first.
class PngOrientation : public testing::Test {
 protected:
  static constexpr std::string_view kTiff{"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x03\0\0\0\0\0\0\0",
                                          26};
  Png png_ = {.width = 2, .rows = {0, 255}};
  const Bytes turned_ = {255, 255, 255, 0, 0, 0};
};

TEST_F(PngOrientation, IsReadFromExif) {
  png_.exif = kTiff;
  EXPECT_EQ(decoded(png_), turned_);
}

TEST_F(PngOrientation, IsReadFromXmp) {
  png_.keyword = "XML:com.adobe.xmp";
  png_.text = "<rdf:Description tiff:Orientation=\"2\"/>";
  EXPECT_EQ(decoded(png_), turned_);
}

TEST_F(PngOrientation, IsReadFromAnImageMagickProfile) {
  png_.keyword = "Raw profile type exif";
  png_.text = "\nexif\n      32\n";
  const char* digits = "0123456789abcdef";
  for (const char c : std::string("Exif\0\0", 6) + std::string(kTiff)) {
    png_.text += digits[static_cast<unsigned char>(c) >> 4];
    png_.text += digits[c & 15];
  }
  EXPECT_EQ(decoded(png_), turned_);
  png_.text = "\nexif\n      32\nno digits";
  EXPECT_NE(decoded(png_), turned_);
}

}  // namespace
}  // namespace mquant
