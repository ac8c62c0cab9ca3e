// Parts of pictures: crops, and the ways in which families cut a large picture into tiles of one size.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "mquant/sample.h"
#include "vision/resize.h"

namespace mquant {

/// The part with its upper left corner at (left, top), black where that is outside the picture.
Image crop(const Image& image, std::int64_t left, std::int64_t top, ImageSize size);

/// The middle of the picture; a side that is too short gets black margins, the wider one first.
/// Source  center_crop of transformers' image_transforms (CLIP, LLaVA).
Image center_crop(const Image& image, ImageSize size);

/// The picture in the middle of a square of `color`; of an odd margin the smaller half comes first.
/// @throws Error{input} if the square is over kMaxPixels.
/// Source  pad_to_square of transformers' LlavaImageProcessor; expand2square of LLaVA.
Image padded_to_square(const Image& image, std::array<std::uint8_t, 3> color);

/// The size whose shorter side is `side`, the longer one in proportion, truncated.
/// Source  get_resize_output_image_size of transformers (CLIP, LLaVA).
ImageSize short_side_size(ImageSize size, std::int64_t side);

struct TileGrid {
  std::int64_t columns = 1, rows = 1;
  std::int64_t count() const { return columns * rows; }
  bool operator==(const TileGrid&) const = default;
};

/// Equal tiles, row by row.  Throws Error{internal} if the sides are no multiples of the grid's.
std::vector<Image> cut(const Image& image, TileGrid grid);

/// A picture cut up, in the order in which its tiles go through the vision tower.
struct Tiling {
  TileGrid grid;             ///< of the cut tiles; 0 x 0: not cut, the one tile is the whole picture
  std::vector<Image> tiles;  ///< the cut ones row by row; a view of the whole picture comes first or last
};

/// The grid of min_tiles to max_tiles cells whose aspect ratio is nearest to the picture's.  Of equally near ones the
/// smallest wins, or a larger one of which the picture would fill more than half.
/// @throws Error{input} if the limits are not 1 <= min_tiles <= max_tiles <= 4096.
/// Source  dynamic_preprocess of InternVL2; GotOcr2 of transformers (InternVL 3).
TileGrid nearest_grid(ImageSize size, std::int64_t tile, std::int64_t min_tiles, std::int64_t max_tiles);

enum class Thumbnail { no, yes };

/// InternVL: bicubic to nearest_grid, cut; the whole picture as one tile comes last if there are several tiles.
Tiling tile_by_aspect(const Image& image, std::int64_t tile, std::int64_t min_tiles, std::int64_t max_tiles,
                      Thumbnail thumbnail, PassOrder order = PassOrder::pillow_13);

/// Idefics3 and SmolVLM: Lanczos until the longest side is `longest_edge`, then until both sides are multiples of
/// `tile`; cut; the whole picture as one tile comes last.  The second size is the first one's aspect ratio, rounded
/// up, so it is not quite the picture's.
/// @throws Error{input} if a size is not positive.
/// Source  image_processing_pil_idefics3 of transformers.
Tiling tile_by_longest_edge(const Image& image, std::int64_t longest_edge, std::int64_t tile,
                            PassOrder order = PassOrder::pillow_13);

/// MiniCPM-V: sides are multiples of `patch` rather than fixed.  A picture of at most `resolution`^2 pixels is scaled
/// (up, too) to about that area.  A larger one comes first as a whole of about that area, then cut into at most
/// `max_slices` parts of about that area each, in the grid whose aspect ratio is nearest on a log scale; all bicubic.
/// @throws Error{input} if a size is not positive or max_slices over 4096.
/// Source  slice_image of MiniCPM-V 2.6's image_processing_minicpmv.py.
Tiling slice_by_area(const Image& image, std::int64_t resolution, std::int64_t patch, std::int64_t max_slices,
                     PassOrder order = PassOrder::pillow_13);

}  // namespace mquant
