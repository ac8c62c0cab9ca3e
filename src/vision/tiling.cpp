#include "vision/tiling.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <utility>

#include "mquant/error.h"
#include "vision/decode.h"

namespace mquant {
namespace {

constexpr std::int64_t kMaxTiles = 4096;
/// Of sizes from configuration files: no product below overflows.
constexpr std::int64_t kMaxSetting = 1 << 20;
/// Idefics3 shrinks what is longer than this, whatever its longest_edge.
constexpr std::int64_t kIdefics3MaxSide = 4096;

double ratio(std::int64_t a, std::int64_t b) { return static_cast<double>(a) / static_cast<double>(b); }

/// Python's int(): towards zero.
std::int64_t truncated(double x) { return static_cast<std::int64_t>(x); }

std::int64_t round_up(std::int64_t value, std::int64_t step) { return (value + step - 1) / step * step; }

/// Python's max(round(length / step) * step, step), halves to even.
std::int64_t rounded_to(std::int64_t length, std::int64_t step) {
  return std::max(truncated(std::nearbyint(ratio(length, step))) * step, step);
}

void check_positive(std::int64_t value, const char* name) {
  if (value <= 0 || value > kMaxSetting)
    fail(ErrorKind::input, "tiling: expected a ", name, " of 1 to ", kMaxSetting, ", found ", value);
}

void check_max_tiles(std::int64_t value) {
  if (value < 1 || value > kMaxTiles)
    fail(ErrorKind::input, "tiling: expected 1 to ", kMaxTiles, " tiles a picture, found ", value);
}

/// The first of Idefics3's two sizes.
ImageSize idefics3_size(ImageSize size, std::int64_t longest_edge) {
  const auto shorter = [](std::int64_t side) { return std::max<std::int64_t>(side + side % 2, 1); };
  const double aspect = ratio(size.width, size.height);
  if (size.width >= size.height)
    size = {longest_edge, shorter(truncated(static_cast<double>(longest_edge) / aspect))};
  else
    size = {shorter(truncated(static_cast<double>(longest_edge) * aspect)), longest_edge};

  constexpr auto kSide = static_cast<double>(kIdefics3MaxSide);
  const double second_aspect = ratio(size.width, size.height);
  if (size.width >= size.height && size.width > kIdefics3MaxSide)
    return {kIdefics3MaxSide, std::max<std::int64_t>(truncated(kSide / second_aspect), 1)};
  if (size.height > size.width && size.height > kIdefics3MaxSide)
    return {std::max<std::int64_t>(truncated(kSide * second_aspect), 1), kIdefics3MaxSide};
  return size;
}

/// The second: whole tiles.
ImageSize whole_tiles_size(ImageSize size, std::int64_t tile) {
  const double aspect = ratio(size.width, size.height);
  if (size.width >= size.height) {
    size.width = round_up(size.width, tile);
    size.height = round_up(truncated(static_cast<double>(size.width) / aspect), tile);
  } else {
    size.height = round_up(size.height, tile);
    size.width = round_up(truncated(static_cast<double>(size.height) * aspect), tile);
  }
  return size;
}

enum class Enlarge { no, yes };

/// MiniCPM-V's find_best_resize: about resolution^2 pixels, multiples of `patch`.
ImageSize size_of_area(ImageSize size, std::int64_t resolution, std::int64_t patch, Enlarge enlarge) {
  if (enlarge == Enlarge::yes || size.area() > resolution * resolution) {
    const double aspect = ratio(size.width, size.height);
    size.height = truncated(static_cast<double>(resolution) / std::sqrt(aspect));
    size.width = truncated(static_cast<double>(size.height) * aspect);  // of the truncated height
  }
  return {rounded_to(size.width, patch), rounded_to(size.height, patch)};
}

/// MiniCPM-V's get_sliced_grid; 0 x 0: not cut.
TileGrid grid_of_aspect(ImageSize size, std::int64_t resolution, std::int64_t max_slices) {
  const double excess = std::ceil(ratio(size.area(), resolution * resolution));
  const std::int64_t wanted = truncated(std::min(excess, static_cast<double>(max_slices)));
  if (wanted <= 1) return {0, 0};
  const double log_aspect = std::log(ratio(size.width, size.height));
  TileGrid best;
  double least = std::numeric_limits<double>::infinity();
  for (const std::int64_t slices : {wanted - 1, wanted, wanted + 1}) {
    if (slices == 1 || slices > max_slices) continue;
    for (std::int64_t columns = 1; columns <= slices; ++columns) {
      if (slices % columns != 0) continue;
      const TileGrid grid = {columns, slices / columns};
      const double error = std::abs(log_aspect - std::log(ratio(grid.columns, grid.rows)));
      if (error < least) best = grid, least = error;
    }
  }
  return best;
}

}  // namespace

Image crop(const Image& image, std::int64_t left, std::int64_t top, ImageSize size) {
  require(size.width > 0 && size.height > 0, "crop: ", size.width, " x ", size.height);
  Image out{size.width, size.height, {}};
  out.rgb.resize(static_cast<std::size_t>(size.area()) * 3);
  const std::int64_t begin = std::max<std::int64_t>(left, 0), end = std::min(left + size.width, image.width);
  for (std::int64_t y = 0; begin < end && y < size.height; ++y) {
    const std::int64_t row = top + y;
    if (row < 0 || row >= image.height) continue;
    std::copy_n(image.rgb.data() + (row * image.width + begin) * 3, (end - begin) * 3,
                out.rgb.data() + (y * size.width + begin - left) * 3);
  }
  return out;
}

Image center_crop(const Image& image, ImageSize size) {
  const auto floored_half = [](std::int64_t x) { return (x - (x % 2 != 0 && x < 0 ? 1 : 0)) / 2; };
  return crop(image, floored_half(image.width - size.width), floored_half(image.height - size.height), size);
}

Image padded_to_square(const Image& image, std::array<std::uint8_t, 3> color) {
  const std::int64_t side = std::max(image.width, image.height);
  if (side > kMaxPixels / side)
    fail(ErrorKind::input, "a square around ", image.width, " x ", image.height,
         " pixels is more than the limit of ", kMaxPixels);
  const std::int64_t left = (side - image.width) / 2, top = (side - image.height) / 2;
  Image out{side, side, {}};
  out.rgb.resize(static_cast<std::size_t>(side * side) * 3);
  for (std::size_t i = 0; i < out.rgb.size(); i += 3) std::copy_n(color.data(), 3, out.rgb.data() + i);
  for (std::int64_t y = 0; y < image.height; ++y)
    std::copy_n(image.rgb.data() + y * image.width * 3, image.width * 3,
                out.rgb.data() + ((top + y) * side + left) * 3);
  return out;
}

ImageSize short_side_size(ImageSize size, std::int64_t side) {
  require(size.width > 0 && size.height > 0, "short_side_size: ", size.width, " x ", size.height);
  check_positive(side, "side");
  const auto [shorter, longer] = std::minmax(size.width, size.height);
  const std::int64_t new_longer = truncated(ratio(side * longer, shorter));
  return size.width <= size.height ? ImageSize{side, new_longer} : ImageSize{new_longer, side};
}

std::vector<Image> cut(const Image& image, TileGrid grid) {
  require(
      grid.columns > 0 && grid.rows > 0 && image.width % grid.columns == 0 && image.height % grid.rows == 0,
      "cut: a picture of ", image.width, " x ", image.height, " into ", grid.columns, " x ", grid.rows);
  const ImageSize tile = {image.width / grid.columns, image.height / grid.rows};
  std::vector<Image> tiles;
  for (std::int64_t row = 0; row < grid.rows; ++row)
    for (std::int64_t column = 0; column < grid.columns; ++column)
      tiles.push_back(crop(image, column * tile.width, row * tile.height, tile));
  return tiles;
}

TileGrid nearest_grid(ImageSize size, std::int64_t tile, std::int64_t min_tiles, std::int64_t max_tiles) {
  check_positive(tile, "tile size");
  check_max_tiles(max_tiles);
  if (min_tiles < 1 || min_tiles > max_tiles)
    fail(ErrorKind::input, "tiling: expected at least 1 and at most ", max_tiles,
         " as the least number of tiles, found ", min_tiles);
  std::vector<TileGrid> grids;
  for (std::int64_t columns = 1; columns <= max_tiles; ++columns)
    for (std::int64_t rows = 1; columns * rows <= max_tiles; ++rows)
      if (columns * rows >= min_tiles) grids.push_back({columns, rows});
  std::stable_sort(grids.begin(), grids.end(),
                   [](const TileGrid& a, const TileGrid& b) { return a.count() < b.count(); });

  const double aspect = ratio(size.width, size.height), area = static_cast<double>(size.area());
  TileGrid best;
  double least = std::numeric_limits<double>::infinity();
  for (const TileGrid& grid : grids) {
    const double error = std::abs(aspect - ratio(grid.columns, grid.rows));
    const bool filled = area > 0.5 * static_cast<double>(tile * tile * grid.count());
    if (error < least || (error == least && filled)) best = grid, least = error;
  }
  return best;
}

Tiling tile_by_aspect(const Image& image, std::int64_t tile, std::int64_t min_tiles, std::int64_t max_tiles,
                      Thumbnail thumbnail, PassOrder order) {
  const ResizeOptions options = {ResizeFilter::bicubic, order, std::nullopt};
  Tiling tiling;
  tiling.grid = nearest_grid(size_of(image), tile, min_tiles, max_tiles);
  tiling.tiles =
      cut(resize(image, {tiling.grid.columns * tile, tiling.grid.rows * tile}, options), tiling.grid);
  if (tiling.tiles.size() > 1 && thumbnail == Thumbnail::yes)
    tiling.tiles.push_back(resize(image, {tile, tile}, options));
  return tiling;
}

Tiling tile_by_longest_edge(const Image& image, std::int64_t longest_edge, std::int64_t tile,
                            PassOrder order) {
  check_positive(longest_edge, "longest_edge");
  check_positive(tile, "tile size");
  const ResizeOptions options = {ResizeFilter::lanczos, order, std::nullopt};
  const ImageSize first = idefics3_size(size_of(image), longest_edge);
  const ImageSize second = whole_tiles_size(first, tile);
  Image whole = resize(resize(image, first, options), second, options);
  Tiling tiling;
  if (second == ImageSize{tile, tile}) {
    tiling.grid = {0, 0};
    tiling.tiles.push_back(std::move(whole));
    return tiling;
  }
  tiling.grid = {second.width / tile, second.height / tile};
  check_max_tiles(tiling.grid.count());
  tiling.tiles = cut(whole, tiling.grid);
  tiling.tiles.push_back(resize(whole, {tile, tile}, options));
  return tiling;
}

Tiling slice_by_area(const Image& image, std::int64_t resolution, std::int64_t patch, std::int64_t max_slices,
                     PassOrder order) {
  check_positive(resolution, "resolution");
  check_positive(patch, "patch size");
  check_max_tiles(max_slices);
  const ResizeOptions options = {ResizeFilter::bicubic, order, std::nullopt};
  const ImageSize size = size_of(image);
  Tiling tiling;
  tiling.grid = grid_of_aspect(size, resolution, max_slices);
  const bool whole = tiling.grid.count() == 0;
  tiling.tiles.push_back(
      resize(image, size_of_area(size, resolution, patch, whole ? Enlarge::yes : Enlarge::no), options));
  if (whole) return tiling;

  const ImageSize cell = {rounded_to(size.width, tiling.grid.columns) / tiling.grid.columns,
                          rounded_to(size.height, tiling.grid.rows) / tiling.grid.rows};
  const ImageSize slice = size_of_area(cell, resolution, patch, Enlarge::yes);
  const Image enlarged =
      resize(image, {slice.width * tiling.grid.columns, slice.height * tiling.grid.rows}, options);
  for (Image& part : cut(enlarged, tiling.grid)) tiling.tiles.push_back(std::move(part));
  return tiling;
}

}  // namespace mquant
