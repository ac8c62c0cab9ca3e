#include "vision/patches.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "mquant/error.h"

namespace mquant {
namespace {

constexpr std::int64_t kMaxAspectRatio = 200;

/// Python's round(a / b): to nearest, halves to even, in double precision.
std::int64_t rounded_quotient(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(std::nearbyint(static_cast<double>(a) / static_cast<double>(b)));
}

}  // namespace

ImageSize smart_resize(ImageSize size, std::int64_t factor, std::int64_t min_pixels,
                       std::int64_t max_pixels) {
  require(factor > 0 && min_pixels > 0 && max_pixels > 0, "smart_resize: factor ", factor, ", min_pixels ",
          min_pixels, ", max_pixels ", max_pixels);
  const auto [shorter, longer] = std::minmax(size.width, size.height);
  if (shorter <= 0 || longer > kMaxAspectRatio * shorter)
    fail(ErrorKind::input, "a picture of ", size.width, " x ", size.height,
         ": expected sides that differ by a factor ", kMaxAspectRatio, " at most; crop it first");
  const ImageSize nearest = {rounded_quotient(size.width, factor) * factor,
                             rounded_quotient(size.height, factor) * factor};
  const auto area = static_cast<double>(size.area());
  const auto step = static_cast<double>(factor);
  const auto width = static_cast<double>(size.width), height = static_cast<double>(size.height);
  if (nearest.area() > max_pixels) {
    const double shrink = std::sqrt(area / static_cast<double>(max_pixels));
    const auto fit = [&](double side) {
      return std::max(factor, static_cast<std::int64_t>(std::floor(side / shrink / step)) * factor);
    };
    return {fit(width), fit(height)};
  }
  if (nearest.area() < min_pixels) {
    const double grow = std::sqrt(static_cast<double>(min_pixels) / area);
    const auto fill = [&](double side) {
      return static_cast<std::int64_t>(std::ceil(side * grow / step)) * factor;
    };
    return {fill(width), fill(height)};
  }
  return nearest;
}

NormalizationTable normalization_table(const Normalization& normalization) {
  NormalizationTable table{};
  for (std::size_t c = 0; c < 3; ++c) {
    const auto mean = static_cast<float>(normalization.mean[c]);
    const auto deviation = static_cast<float>(normalization.deviation[c]);
    if (!std::isfinite(mean) || !std::isfinite(deviation) || deviation == 0 ||
        !std::isfinite(normalization.rescale))
      fail(ErrorKind::input, "normalization of channel ", c,
           ": expected finite numbers and a deviation that is not 0, ", "found mean ", mean, ", deviation ",
           deviation, ", rescale ", normalization.rescale);
    for (std::size_t value = 0; value < 256; ++value) {
      const auto scaled = static_cast<float>(static_cast<double>(value) * normalization.rescale);
      table[c][value] = (scaled - mean) / deviation;
    }
  }
  return table;
}

Grid append_patches(const Image& image, const PatchLayout& layout, const NormalizationTable& table,
                    std::vector<float>& pixels) {
  const std::int64_t patch = layout.patch, merge = layout.merge, block = patch * merge;
  require(patch > 0 && merge > 0 && layout.temporal > 0 && image.width > 0 && image.height > 0 &&
              image.width % block == 0 && image.height % block == 0,
          "append_patches: a picture of ", image.width, " x ", image.height, " is not made of blocks of ",
          block);
  const Grid grid = {1, image.height / patch, image.width / patch};
  const auto begin = pixels.size();
  pixels.resize(begin + static_cast<std::size_t>(grid.rows() * layout.columns()));
  float* to = pixels.data() + begin;

  const auto write_patch = [&](std::int64_t row, std::int64_t column) {
    for (std::size_t c = 0; c < 3; ++c) {
      const float* const frame = to;
      for (std::int64_t y = 0; y < patch; ++y) {
        const std::uint8_t* from = image.rgb.data() + ((row * patch + y) * image.width + column * patch) * 3;
        for (std::int64_t x = 0; x < patch; ++x) *to++ = table[c][from[3 * x + static_cast<std::int64_t>(c)]];
      }
      for (std::int64_t t = 1; t < layout.temporal; ++t) to = std::copy_n(frame, patch * patch, to);
    }
  };
  for (std::int64_t block_row = 0; block_row < grid.h; block_row += merge)
    for (std::int64_t block_column = 0; block_column < grid.w; block_column += merge)
      for (std::int64_t row = 0; row < merge; ++row)
        for (std::int64_t column = 0; column < merge; ++column)
          write_patch(block_row + row, block_column + column);
  return grid;
}

}  // namespace mquant
