// BMP of the common kinds: rows of 1, 4, 8, 16, 24 or 32 bits, not compressed.  No C or C++ library of Debian
// reads BMP alone.
#include <algorithm>
#include <array>
#include <cstdint>
#include <string>

#include "mquant/error.h"
#include "vision/codecs.h"

namespace mquant::codec {
namespace {

constexpr std::uint64_t kMostColors = 65536;
constexpr std::size_t kFileHeader = 14,
                      kCoreHeader = 12;  // OS/2's, which has sides of 16 bits and no compression

/// Little-endian numbers, bounds checked.
class Bytes {
 public:
  Bytes(std::span<const std::byte> bytes, const std::string& origin) : bytes_(bytes), origin_(origin) {}

  const std::uint8_t* at(std::uint64_t offset, std::uint64_t size) const {
    if (offset > bytes_.size() || size > bytes_.size() - offset)
      fail(ErrorKind::input, origin_, ": truncated BMP: expected ", size, " bytes from ", offset,
           " on, found ", bytes_.size(), " in all");
    return reinterpret_cast<const std::uint8_t*>(bytes_.data()) + offset;
  }
  std::uint32_t number(std::uint64_t offset, std::size_t size) const {
    std::uint32_t value = 0;
    for (std::size_t i = size; i > 0; --i) value = value << 8 | at(offset, size)[i - 1];
    return value;
  }

 private:
  std::span<const std::byte> bytes_;
  const std::string& origin_;
};

struct Header {
  std::uint64_t width = 0, height = 0, bits = 0, colors = 0, color_size = 4;
  std::uint64_t colors_at = 0, rows_at = 0;
  bool top_down = false;

  std::uint64_t stride() const { return (width * bits + 31) / 32 * 4; }
};

Header read_header(const Bytes& file, const std::string& origin) {
  constexpr std::array<std::uint32_t, 7> kSizes = {kCoreHeader, 40, 52, 56, 64, 108, 124};
  const std::uint32_t size = file.number(kFileHeader, 4);
  if (std::ranges::find(kSizes, size) == kSizes.end())
    fail(ErrorKind::input, origin, ": broken BMP: a header of ", size, " bytes");
  const bool core = size == kCoreHeader;
  Header header{.width = file.number(18, core ? 2 : 4),
                .height = file.number(core ? 20 : 22, core ? 2 : 4),
                .bits = file.number(core ? 24 : 28, 2)};
  if (!core && header.height >> 24 == 0xFF) {  // negative
    header.top_down = true;
    header.height = (std::uint64_t{1} << 32) - header.height;
  }
  const std::uint32_t compression = core ? 0 : file.number(30, 4);
  constexpr std::array<std::uint64_t, 6> kBits = {1, 4, 8, 16, 24, 32};
  if (compression != 0 || std::ranges::find(kBits, header.bits) == kBits.end())
    fail(ErrorKind::unsupported, origin, ": a BMP picture of ", header.bits, " bits and compression ",
         compression, " is not supported; convert it to PNG");
  header.color_size = core ? 3 : 4;
  if (header.bits <= 8) header.colors = core ? 0 : file.number(46, 4);
  if (header.bits <= 8 && header.colors == 0) header.colors = std::uint64_t{1} << header.bits;
  if (header.colors > kMostColors)
    fail(ErrorKind::input, origin, ": broken BMP: expected at most ", kMostColors, " colours, found ",
         header.colors);
  header.colors_at = kFileHeader + size;
  header.rows_at = file.number(10, 4);
  // Some writers do not count the colours.
  if (header.rows_at == 0 || header.rows_at == header.colors_at)
    header.rows_at = header.colors_at + header.color_size * header.colors;
  return header;
}

/// RGB by index, black beyond the file's colours.
std::array<std::uint8_t, 3 * 256> read_colors(const Bytes& file, const Header& header) {
  std::array<std::uint8_t, 3 * 256> palette{};
  for (std::uint64_t i = 0; i < std::min<std::uint64_t>(header.colors, 256); ++i) {
    const std::uint8_t* blue = file.at(header.colors_at + i * header.color_size, header.color_size);
    for (std::size_t c = 0; c < 3; ++c) palette[3 * i + c] = blue[2 - c];
  }
  return palette;
}

}  // namespace

Decoded decode_bmp(std::span<const std::byte> bytes, const std::string& origin, std::int64_t max_pixels) {
  const Bytes file(bytes, origin);
  const Header header = read_header(file, origin);
  check_dimensions(static_cast<std::int64_t>(header.width), static_cast<std::int64_t>(header.height),
                   max_pixels, origin);
  const auto palette = read_colors(file, header);
  file.at(header.rows_at, header.stride() * (header.height - 1));  // before memory is taken

  Decoded decoded;
  decoded.image = {static_cast<std::int64_t>(header.width), static_cast<std::int64_t>(header.height), {}};
  decoded.image.rgb.resize(3 * header.width * header.height);
  std::uint8_t* to = decoded.image.rgb.data();
  for (std::uint64_t y = 0; y < header.height; ++y) {
    const std::uint64_t row = header.top_down ? y : header.height - 1 - y;
    const std::uint8_t* from =
        file.at(header.rows_at + row * header.stride(), (header.width * header.bits + 7) / 8);
    for (std::uint64_t x = 0; x < header.width; ++x, to += 3) {
      if (header.bits >= 24) {
        const std::uint8_t* blue = from + x * header.bits / 8;
        for (std::size_t c = 0; c < 3; ++c) to[c] = blue[2 - c];
      } else if (header.bits == 16) {  // five bits a colour
        const unsigned color = from[2 * x] | unsigned{from[2 * x + 1]} << 8;
        for (unsigned c = 0; c < 3; ++c)
          to[c] = static_cast<std::uint8_t>((color >> (10 - 5 * c) & 31) * 255 / 31);
      } else {  // the first of several indices in a byte has the high bits
        const std::uint64_t bit = x * header.bits, shift = 8 - header.bits - bit % 8;
        const std::uint64_t index = from[bit / 8] >> shift & ((1U << header.bits) - 1);
        std::copy_n(palette.data() + 3 * index, 3, to);
      }
    }
  }
  return decoded;
}

}  // namespace mquant::codec
