#include "vision/orientation.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

namespace mquant::codec {
namespace {

constexpr std::uint32_t kOrientationTag = 0x0112;

/// Bounds-checked reads of a TIFF file in either byte order.
class Tiff {
 public:
  explicit Tiff(std::span<const std::uint8_t> bytes) : bytes_(bytes) {
    constexpr std::array<std::uint8_t, 4> little = {'I', 'I', 42, 0}, big = {'M', 'M', 0, 42};
    if (bytes.size() < 8) return;
    little_ = std::equal(little.begin(), little.end(), bytes.begin());
    valid_ = little_ || std::equal(big.begin(), big.end(), bytes.begin());
  }

  bool valid() const { return valid_; }
  bool holds(std::size_t offset, std::size_t size) const {
    return offset <= bytes_.size() && size <= bytes_.size() - offset;
  }
  /// The caller has checked that the bytes are there.
  std::uint32_t number(std::size_t offset, std::size_t size) const {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < size; ++i) value = value << 8 | bytes_[offset + (little_ ? size - 1 - i : i)];
    return value;
  }

 private:
  std::span<const std::uint8_t> bytes_;
  bool little_ = false, valid_ = false;
};

/// Bytes of one value of the integer types BYTE, SHORT and LONG; 0 for the others.
std::size_t integer_size(std::uint32_t type) { return type == 1 ? 1 : type == 3 ? 2 : type == 4 ? 4 : 0; }

bool valid_orientation(std::uint32_t value) { return value >= 1 && value <= 8; }

}  // namespace

std::optional<int> exif_orientation(std::span<const std::uint8_t> bytes) {
  constexpr std::size_t kEntrySize = 12;  // tag 2, type 2, count 4, value 4
  const Tiff tiff(bytes);
  if (!tiff.valid()) return std::nullopt;
  const std::size_t directory = tiff.number(4, 4);
  if (!tiff.holds(directory, 2)) return std::nullopt;
  const std::size_t entries = tiff.number(directory, 2);
  for (std::size_t i = 0; i < entries; ++i) {
    const std::size_t entry = directory + 2 + i * kEntrySize;
    if (!tiff.holds(entry, kEntrySize)) return std::nullopt;
    if (tiff.number(entry, 2) != kOrientationTag) continue;
    const std::size_t size = integer_size(tiff.number(entry + 2, 2));
    if (size == 0 || tiff.number(entry + 4, 4) != 1) return std::nullopt;
    const std::uint32_t value = tiff.number(entry + 8, size);
    return valid_orientation(value) ? std::optional(static_cast<int>(value)) : std::nullopt;
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
    const auto value = static_cast<std::uint32_t>(rest.front() - '0');
    return valid_orientation(value) ? std::optional(static_cast<int>(value)) : std::nullopt;
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
