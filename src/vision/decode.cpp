#include "vision/decode.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "mquant/error.h"
#include "support/read_error.h"
#include "vision/codecs.h"
#include "vision/orientation.h"

namespace mquant {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view kJpegMagic = "\xff\xd8\xff"sv;
constexpr std::string_view kPngMagic = "\x89PNG\r\n\x1a\n"sv;
constexpr std::string_view kBmpMagic = "BM"sv;
constexpr std::string_view kGifMagic = "GIF8"sv;
constexpr std::string_view kWebpMagic = "WEBP"sv;  // after "RIFF" and a size
constexpr const char* kExpected = "expected a JPEG, PNG, WebP, GIF or BMP picture";

struct Magic {
  std::size_t offset;
  std::string_view bytes, what;
  ErrorKind kind = ErrorKind::unsupported;  // a picture of another format; else: no picture
};

/// What people pass for a picture; the first match counts.
constexpr std::array kOthers = {
    Magic{4, "ftypavif"sv, "an AVIF picture"},
    Magic{4, "ftypheic"sv, "a HEIC picture"},
    Magic{4, "ftypheix"sv, "a HEIC picture"},
    Magic{4, "ftyphevc"sv, "a HEIC picture"},
    Magic{4, "ftypmif1"sv, "a HEIC picture"},
    Magic{4, "ftypmsf1"sv, "a HEIC picture"},
    Magic{4, "ftyp"sv, "an MP4 video"},
    Magic{0, "\x1a\x45\xdf\xa3"sv, "a Matroska or WebM video"},
    Magic{0, "II*\0"sv, "a TIFF picture"},
    Magic{0, "MM\0*"sv, "a TIFF picture"},
    Magic{0, "\xff\x0a"sv, "a JPEG XL picture"},
    Magic{0, "\0\0\0\x0cJXL "sv, "a JPEG XL picture"},
    Magic{0, "\0\0\0\x0cjP  "sv, "a JPEG 2000 picture"},
    Magic{0, "\0\0\x01\0"sv, "an icon (ICO)"},
    Magic{0, "8BPS"sv, "a Photoshop document"},
    Magic{0, "%PDF"sv, "a PDF document"},
    Magic{0, "<svg"sv, "an SVG drawing"},
    Magic{0, "<?xml"sv, "XML text", ErrorKind::input},
    Magic{0, "<!DOCTYPE"sv, "a web page", ErrorKind::input},
    Magic{0, "<html"sv, "a web page", ErrorKind::input},
    Magic{0, "\x1f\x8b"sv, "a gzip archive", ErrorKind::input},
    Magic{0, "PK\x03\x04"sv, "a zip archive", ErrorKind::input},
    Magic{0, "version https://git-lfs"sv, "a Git LFS pointer, not the file itself (run git lfs pull)",
          ErrorKind::input},
};

bool matches(std::string_view head, const Magic& magic) {
  return head.size() > magic.offset && head.substr(magic.offset).starts_with(magic.bytes);
}

[[noreturn]] void fail_unknown_format(std::string_view head, const std::string& origin) {
  if (head.empty()) fail(ErrorKind::input, origin, ": the file is empty; ", kExpected);
  const auto* found = std::find_if(kOthers.begin(), kOthers.end(),
                                   [head](const Magic& magic) { return matches(head, magic); });
  if (found == kOthers.end())
    fail(ErrorKind::input, origin, ": ", kExpected, "; the first bytes are of none of these formats");
  fail(found->kind, origin, ": ", kExpected, ", found ", found->what,
       found->kind == ErrorKind::unsupported ? ", which is not supported; convert it to PNG" : "");
}

}  // namespace

namespace codec {

void check_dimensions(std::int64_t width, std::int64_t height, std::int64_t max_pixels,
                      const std::string& origin) {
  if (width <= 0 || height <= 0)
    fail(ErrorKind::input, origin, ": expected a picture of at least 1 x 1 pixels, found ", width, " x ",
         height);
  if (width > max_pixels / height)
    fail(ErrorKind::input, origin, ": ", width, " x ", height, " pixels are more than the limit of ",
         max_pixels, "; scale the picture down first");
}

}  // namespace codec

Image decode_image(std::span<const std::byte> bytes, const std::string& origin,
                   const DecodeOptions& options) {
  const std::string_view head(reinterpret_cast<const char*>(bytes.data()),
                              std::min<std::size_t>(bytes.size(), 64));
  codec::Decoded decoded;
  if (head.starts_with(kJpegMagic))
    decoded = codec::decode_jpeg(bytes, origin, options.max_pixels);
  else if (head.starts_with(kPngMagic))
    decoded = codec::decode_png(bytes, origin, options.max_pixels);
  else if (head.starts_with(kBmpMagic))
    decoded = codec::decode_bmp(bytes, origin, options.max_pixels);
  else if (head.starts_with(kGifMagic))
    decoded = codec::decode_gif(bytes, origin, options.max_pixels);
  else if (head.size() >= 12 && head.starts_with("RIFF") && head.substr(8).starts_with(kWebpMagic))
    decoded = codec::decode_webp(bytes, origin, options.max_pixels);
  else
    fail_unknown_format(head, origin);
  if (!options.apply_orientation) return std::move(decoded.image);
  return codec::oriented(std::move(decoded.image), decoded.orientation);
}

Image open_image(const std::filesystem::path& path, const DecodeOptions& options) {
  const std::string origin = path.string();
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status)) fail(ErrorKind::input, origin, ": no such picture");
  if (!std::filesystem::is_regular_file(status))
    fail(ErrorKind::input, origin, ": expected a picture, found a directory or device");
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  if (error) fail(ErrorKind::input, origin, ": cannot be read: ", error.message());
  if (size > static_cast<std::uintmax_t>(kMaxPictureFileBytes))
    fail(ErrorKind::input, origin, ": ", size, " bytes are more than the limit of ", kMaxPictureFileBytes,
         " for a picture file");

  std::vector<std::byte> bytes(static_cast<std::size_t>(size));
  std::ifstream file(path, std::ios::binary);
  file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  if (!file) fail_reading("read", path, errno);
  return decode_image(bytes, origin, options);
}

}  // namespace mquant
