// PNG through libpng.  It only unpacks and filters; samples become RGB here, by Pillow's rules.
// It gives up by longjmp: see guarded().
#include <png.h>

#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "mquant/error.h"
#include "mquant/log.h"
#include "vision/codecs.h"
#include "vision/orientation.h"

namespace mquant::codec {
namespace {

/// Metadata may be compressed a thousandfold: 8 MB a chunk (libpng's default) times this many.
constexpr png_uint_32 kMaxCachedChunks = 32;

struct PngReader {
  png_structp png = nullptr;
  png_infop info = nullptr;
  std::jmp_buf escape{};
  std::array<char, 256> error{}, first_warning{};
  int warnings = 0;
  std::span<const std::byte> rest;  // not yet read
  bool ended = false;               // libpng asked for more than there is

  int color = 0, depth = 0;  // depth of the file; rows hold at least a byte a sample
  bool interlaced = false;
  std::array<std::uint8_t, 3 * 256> palette{};  // black beyond the file's colours, as in Pillow
  std::vector<std::uint8_t> rows;               // one, or all of an interlaced picture
  std::size_t row_bytes = 0;
  Image* image = nullptr;

  PngReader() = default;
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;
  ~PngReader() { png_destroy_read_struct(&png, &info, nullptr); }  // does nothing with null
};

template <std::size_t n>
void keep_text(std::array<char, n>& to, const char* text) {
  std::snprintf(to.data(), n, "%s", text);
}

void on_error(png_structp png, png_const_charp message) {
  auto& reader = *static_cast<PngReader*>(png_get_error_ptr(png));
  keep_text(reader.error, message);
  std::longjmp(reader.escape, 1);
}

void on_warning(png_structp png, png_const_charp message) {
  auto& reader = *static_cast<PngReader*>(png_get_error_ptr(png));
  if (reader.warnings++ == 0) keep_text(reader.first_warning, message);
}

void read_input(png_structp png, png_bytep to, std::size_t count) {
  auto& reader = *static_cast<PngReader*>(png_get_io_ptr(png));
  if (count > reader.rest.size()) {
    reader.ended = true;
    png_error(png, "unexpected end of file");
  }
  std::memcpy(to, reader.rest.data(), count);
  reader.rest = reader.rest.subspan(count);
}

/// Pillow refuses descriptions of colours and sizes that are cut off; libpng would pass them over.
void check_chunk_sizes(std::span<const std::byte> bytes, const std::string& origin) {
  constexpr std::size_t kSignature = 8, kColorType = 25,
                        kAround = 12;  // length, name and checksum of a chunk
  if (bytes.size() <= kColorType) return;
  const auto color = std::to_integer<unsigned>(bytes[kColorType]);
  const std::size_t transparent_color = color == PNG_COLOR_TYPE_RGB    ? 6
                                        : color == PNG_COLOR_TYPE_GRAY ? 2
                                                                       : 0;
  const std::array<std::pair<std::string_view, std::size_t>, 5> least = {
      {{"tRNS", transparent_color}, {"gAMA", 4}, {"cHRM", 32}, {"sRGB", 1}, {"pHYs", 9}}};
  for (std::size_t at = kSignature; bytes.size() - at >= kAround;) {
    const std::size_t length = png_get_uint_32(reinterpret_cast<png_const_bytep>(bytes.data() + at));
    const std::string_view name(reinterpret_cast<const char*>(bytes.data() + at + 4), 4);
    if (name == "IDAT" || length > bytes.size() - at - kAround) return;
    for (const auto& [chunk, size] : least)
      if (name == chunk && length < size)
        fail(ErrorKind::input, origin, ": broken PNG: ", name, ": expected ", size, " bytes, found ", length);
    at += kAround + length;
  }
}

void read_header(PngReader& reader) {
  reader.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &reader, on_error, on_warning);
  if (reader.png == nullptr) return;
  reader.info = png_create_info_struct(reader.png);
  if (reader.info == nullptr) return;
  png_set_read_fn(reader.png, &reader, read_input);
  png_set_chunk_cache_max(reader.png, kMaxCachedChunks);
  // Colour management that would not be applied is not worth the risk of parsing it.
  static constexpr png_byte kIgnored[] = "iCCP\0sPLT\0hIST\0pCAL\0sCAL\0bKGD\0cHRM\0gAMA\0sRGB\0sBIT\0tIME";
  png_set_keep_unknown_chunks(reader.png, PNG_HANDLE_CHUNK_NEVER, kIgnored, sizeof(kIgnored) / 5);
  // Pillow checks what comes before the pixels and nothing after.
  png_set_crc_action(reader.png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
  png_read_info(reader.png, reader.info);
  png_set_crc_action(reader.png, PNG_CRC_QUIET_USE, PNG_CRC_QUIET_USE);
}

void prepare_rows(PngReader& reader) {
  reader.color = png_get_color_type(reader.png, reader.info);
  reader.depth = png_get_bit_depth(reader.png, reader.info);
  reader.interlaced = png_get_interlace_type(reader.png, reader.info) != PNG_INTERLACE_NONE;
  png_set_packing(reader.png);  // a byte a sample, not scaled
  png_set_interlace_handling(reader.png);
  png_read_update_info(reader.png, reader.info);
  reader.row_bytes = png_get_rowbytes(reader.png, reader.info);

  png_colorp colors = nullptr;
  int count = 0;
  if (png_get_PLTE(reader.png, reader.info, &colors, &count) == 0) return;
  for (int i = 0; i < std::min(count, 256); ++i) {
    std::uint8_t* entry = reader.palette.data() + 3 * i;
    entry[0] = colors[i].red, entry[1] = colors[i].green, entry[2] = colors[i].blue;
  }
}

std::uint8_t grey_level(const PngReader& reader, const std::uint8_t* sample) {
  switch (reader.depth) {
    case 1: return static_cast<std::uint8_t>(*sample * 255);
    case 2: return static_cast<std::uint8_t>(*sample * 85);
    case 4: return static_cast<std::uint8_t>(*sample * 17);
    case 16: return sample[0] != 0 ? 255 : sample[1];  // big-endian, clipped
    default: return *sample;
  }
}

void row_to_rgb(const PngReader& reader, const std::uint8_t* from, std::uint8_t* to) {
  const std::size_t sample = reader.depth == 16 ? 2 : 1;
  const bool colored = (reader.color & PNG_COLOR_MASK_COLOR) != 0;
  const bool indexed = (reader.color & PNG_COLOR_MASK_PALETTE) != 0;
  const bool alpha = (reader.color & PNG_COLOR_MASK_ALPHA) != 0;
  const std::size_t pixel = sample * ((colored && !indexed ? 3u : 1u) + (alpha ? 1u : 0u));
  const auto width = static_cast<std::size_t>(reader.image->width);
  for (std::size_t x = 0; x < width; ++x, from += pixel, to += 3) {
    if (indexed)
      std::copy_n(reader.palette.data() + 3 * *from, 3, to);
    else if (colored)
      for (std::size_t c = 0; c < 3; ++c) to[c] = from[c * sample];  // the high byte of 16 bits comes first
    else
      // Grey with alpha is RGBA to Pillow when it has 16 bits: the high byte, not clipped.
      to[0] = to[1] = to[2] = alpha ? *from : grey_level(reader, from);
  }
}

std::uint8_t* row_of(PngReader& reader, std::size_t y) {
  return reader.rows.data() + (reader.interlaced ? y * reader.row_bytes : 0);
}

void convert_row(PngReader& reader, std::size_t y) {
  const std::size_t rgb_bytes = 3 * static_cast<std::size_t>(reader.image->width);
  row_to_rgb(reader, row_of(reader, y), reader.image->rgb.data() + y * rgb_bytes);
}

void read_rows(PngReader& reader) {
  const auto height = static_cast<std::size_t>(reader.image->height);
  const int passes = reader.interlaced ? PNG_INTERLACE_ADAM7_PASSES : 1;
  for (int pass = 0; pass < passes; ++pass)
    for (std::size_t y = 0; y < height; ++y) {
      png_read_row(reader.png, row_of(reader, y), nullptr);
      if (pass == passes - 1) convert_row(reader, y);
    }
}

/// True where libpng gave up only because the file ends after the last row.
bool has_all_rows(const PngReader& reader) {
  if (reader.interlaced) return png_get_current_pass_number(reader.png) >= PNG_INTERLACE_ADAM7_PASSES;
  return png_get_current_row_number(reader.png) >= static_cast<png_uint_32>(reader.image->height);
}

void read_end(PngReader& reader) { png_read_end(reader.png, reader.info); }

/// ImageMagick writes EXIF as text: a blank line, "exif", its length, and hexadecimal digits.
std::optional<int> raw_profile_orientation(std::string_view text) {
  for (int line = 0; line < 3; ++line) {
    const std::size_t end = text.find('\n');
    if (end == text.npos) return std::nullopt;
    text.remove_prefix(end + 1);
  }
  std::vector<std::uint8_t> bytes;
  int high = -1;
  for (const char digit : text) {
    if (digit == '\n' || digit == ' ') continue;
    const char* digits = "0123456789abcdef";
    const char lower = digit >= 'A' && digit <= 'F' ? static_cast<char>(digit - 'A' + 'a') : digit;
    const char* found = std::strchr(digits, lower);
    if (lower == '\0' || found == nullptr) return std::nullopt;
    const int value = static_cast<int>(found - digits);
    if (high >= 0) bytes.push_back(static_cast<std::uint8_t>(high * 16 + value));
    high = high >= 0 ? -1 : value;
  }
  std::span<const std::uint8_t> exif(bytes);
  if (std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()).starts_with("Exif"))
    exif = exif.subspan(std::min<std::size_t>(6, exif.size()));
  return exif_orientation(exif);
}

std::optional<int> text_orientation(png_structp png, png_infop info, std::string_view keyword,
                                    std::optional<int> (*parse)(std::string_view)) {
  png_textp texts = nullptr;
  int count = 0;
  png_get_text(png, info, &texts, &count);
  for (int i = 0; i < count; ++i) {
    if (texts[i].key == nullptr || texts[i].text == nullptr || keyword != texts[i].key) continue;
    if (std::optional<int> found = parse(texts[i].text)) return found;
  }
  return std::nullopt;
}

int find_orientation(png_structp png, png_infop info) {
  std::optional<int> found;
  png_bytep exif = nullptr;
  png_uint_32 size = 0;
  if (png_get_eXIf_1(png, info, &size, &exif) != 0) found = exif_orientation({exif, size});
  if (!found) found = text_orientation(png, info, "Raw profile type exif", raw_profile_orientation);
  if (!found) found = text_orientation(png, info, "XML:com.adobe.xmp", xmp_orientation);
  return found.value_or(1);
}

[[noreturn]] void fail_broken(const PngReader& reader, const std::string& origin) {
  fail(ErrorKind::input, origin, reader.ended ? ": truncated PNG: " : ": broken PNG: ", reader.error.data());
}

}  // namespace

Decoded decode_png(std::span<const std::byte> bytes, const std::string& origin, std::int64_t max_pixels) {
  check_chunk_sizes(bytes, origin);
  Decoded decoded;
  PngReader reader;
  reader.rest = bytes;
  reader.image = &decoded.image;
  if (!guarded(reader, read_header)) fail_broken(reader, origin);
  if (reader.info == nullptr)
    fail(ErrorKind::resources, origin, ": libpng could not be set up: out of memory");

  decoded.image.width = png_get_image_width(reader.png, reader.info);
  decoded.image.height = png_get_image_height(reader.png, reader.info);
  check_dimensions(decoded.image.width, decoded.image.height, max_pixels, origin);
  if (!guarded(reader, prepare_rows)) fail_broken(reader, origin);
  const auto height = static_cast<std::size_t>(decoded.image.height);
  decoded.image.rgb.resize(3 * height * static_cast<std::size_t>(decoded.image.width));
  reader.rows.resize(reader.row_bytes * (reader.interlaced ? height : 1));
  if (!guarded(reader, read_rows)) {
    if (!has_all_rows(reader)) fail_broken(reader, origin);
    convert_row(reader, height - 1);
  }

  // Only metadata follows; a file cut there still has all its pixels, and Pillow takes it.
  if (!guarded(reader, read_end)) debug(cat(origin, ": after the PNG's pixels: ", reader.error.data()));
  if (reader.warnings > 0)
    debug(cat(origin, ": ", reader.warnings, " PNG warnings, the first: ", reader.first_warning.data()));
  decoded.orientation = find_orientation(reader.png, reader.info);
  return decoded;
}

}  // namespace mquant::codec
