#include "vision/orientation.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <utility>

namespace mquant::codec {
namespace {

constexpr std::uint32_t kOrientationTag = 0x0112;

/// Bounds-checked reads of a TIFF file in either byte order.
class Tiff {
 public:
  explicit Tiff(std::span<const std::uint8_t> bytes) : bytes_(bytes) {
    if (bytes.size() < 8) return;
    little_ = bytes[0] == 'I' && bytes[1] == 'I';
    const bool is_tiff = little_ || (bytes[0] == 'M' && bytes[1] == 'M');
    valid_ = is_tiff && (number(2, 2) == 42 || number(2, 2) == 42 << 8);  // some cameras swap it
  }

  bool valid() const { return valid_; }
  bool holds(std::uint64_t offset, std::uint64_t size) const {
    return offset <= bytes_.size() && size <= bytes_.size() - offset;
  }
  /// The caller has checked that the bytes are there.
  std::uint64_t number(std::size_t offset, std::size_t size) const {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < size; ++i) value = value << 8 | bytes_[offset + (little_ ? size - 1 - i : i)];
    return value;
  }

 private:
  std::span<const std::uint8_t> bytes_;
  bool little_ = false, valid_ = false;
};

/// The types of TIFF 6.0, section 2, and IFD and LONG8 of its supplements.
enum Type : std::uint64_t {
  byte = 1,
  ascii,
  u16,
  u32,
  ratio,
  i8,
  undefined,
  i16,
  i32,
  signed_ratio,
  f32,
  f64,
  ifd,
  u64 = 16
};

/// Bytes of one value; 0 for a type that is not known.
std::size_t size_of_type(std::uint64_t type) {
  constexpr std::array<std::size_t, 17> kSizes = {0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8};
  return type < kSizes.size() ? kSizes[type] : 0;
}

template <class To>
double as(std::uint64_t bits) {
  return static_cast<double>(static_cast<To>(bits));
}

/// The value at `at`; 0 for bytes and texts, which Pillow does not take for numbers.
double value_at(const Tiff& tiff, std::size_t at, std::uint64_t type) {
  const std::uint64_t bits = tiff.number(at, size_of_type(type));
  switch (type) {
    case u16:
    case u32:
    case ifd:
    case u64: return as<std::uint64_t>(bits);
    case i8: return as<std::int8_t>(bits);
    case i16: return as<std::int16_t>(bits);
    case i32: return as<std::int32_t>(bits);
    case f32: return static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
    case f64: return std::bit_cast<double>(bits);
    case ratio: return as<std::uint32_t>(tiff.number(at, 4)) / as<std::uint32_t>(tiff.number(at + 4, 4));
    case signed_ratio: return as<std::int32_t>(tiff.number(at, 4)) / as<std::int32_t>(tiff.number(at + 4, 4));
    default: return 0;
  }
}

/// 1 to 8; 1 for all else.
int valid_orientation(double value) {
  return value >= 1 && value <= 8 && value == std::floor(value) ? static_cast<int>(value) : 1;
}

}  // namespace

std::optional<int> exif_orientation(std::span<const std::uint8_t> bytes) {
  constexpr std::string_view kPrefix("Exif\0\0", 6);  // of JPEG's segments; some writers repeat it
  while (std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()).starts_with(kPrefix))
    bytes = bytes.subspan(kPrefix.size());
  constexpr std::size_t kEntrySize = 12;  // tag 2, type 2, count 4, value or its place 4
  const Tiff tiff(bytes);
  if (!tiff.valid()) return std::nullopt;
  const std::size_t directory = tiff.number(4, 4);
  if (!tiff.holds(directory, 2)) return std::nullopt;
  for (std::size_t i = 0; i < tiff.number(directory, 2); ++i) {
    const std::size_t entry = directory + 2 + i * kEntrySize;
    if (!tiff.holds(entry, kEntrySize)) break;
    if (tiff.number(entry, 2) != kOrientationTag) continue;
    const std::uint64_t type = tiff.number(entry + 2, 2);
    const std::uint64_t size = tiff.number(entry + 4, 4) * size_of_type(type);
    const std::size_t at = size > 4 ? tiff.number(entry + 8, 4) : entry + 8;
    if (size > 0 && tiff.holds(at, size)) return valid_orientation(value_at(tiff, at, type));  // of the first
  }
  return std::nullopt;
}

std::optional<int> xmp_orientation(std::string_view packet) {
  constexpr std::string_view kName = "tiff:Orientation";
  for (std::size_t at = packet.find(kName); at != packet.npos; at = packet.find(kName, at + 1)) {
    std::string_view rest = packet.substr(at + kName.size());
    if (rest.starts_with("=\""))
      rest.remove_prefix(2);
    else if (rest.starts_with(">"))
      rest.remove_prefix(1);
    else
      continue;
    if (rest.empty() || rest.front() < '0' || rest.front() > '9') continue;
    const int value = rest.front() - '0';
    return value >= 1 && value <= 8 ? std::optional(value) : std::nullopt;
  }
  return std::nullopt;
}

Image oriented(Image image, int orientation) {
  if (orientation < 2 || orientation > 8) return image;
  const bool transposed = orientation >= 5;
  // Where the pixel of the result at (0, 0) lies in the source, and the way to its right and lower neighbours.
  const bool from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool from_bottom = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  const std::int64_t x_step = from_right ? -3 : 3;
  const std::int64_t y_step = (from_bottom ? -3 : 3) * image.width;
  const std::int64_t start =
      3 * ((from_bottom ? image.height - 1 : 0) * image.width + (from_right ? image.width - 1 : 0));

  Image out{image.width, image.height, std::vector<std::uint8_t>(image.rgb.size())};
  if (transposed) std::swap(out.width, out.height);
  const std::int64_t across = transposed ? y_step : x_step, down = transposed ? x_step : y_step;
  std::uint8_t* to = out.rgb.data();
  for (std::int64_t y = 0; y < out.height; ++y)
    for (std::int64_t x = 0; x < out.width; ++x, to += 3)
      std::copy_n(image.rgb.data() + start + y * down + x * across, 3, to);
  return out;
}

}  // namespace mquant::codec
