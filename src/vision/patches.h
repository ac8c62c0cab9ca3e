// From an 8-bit picture to the float rows that a vision tower's first matrix product reads.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "mquant/sample.h"
#include "vision/resize.h"

namespace mquant {

/// The size that Qwen2-VL resizes a picture to: multiples of `factor`, min_pixels to max_pixels, aspect ratio about
/// kept.  A side is rounded to the nearest multiple, halves to the even one (Python's round); out of the limits both
/// sides are scaled by the square root of the excess and rounded inwards.
/// @throws Error{input} for an empty picture or one that is more than 200 times as long as it is wide.
/// Source  smart_resize of transformers' image_processing_qwen2_vl.
ImageSize smart_resize(ImageSize size, std::int64_t factor, std::int64_t min_pixels, std::int64_t max_pixels);

/// Mean and deviation of each channel after scaling by `rescale`: keys of preprocessor_config.json.
struct Normalization {
  std::array<double, 3> mean = {0, 0, 0};
  std::array<double, 3> deviation = {1, 1, 1};
  double rescale = 1.0 / 255.0;
};

/// The float of each channel and 8-bit value.
using NormalizationTable = std::array<std::array<float, 256>, 3>;

/// (value * rescale - mean) / deviation, each step rounded to float32 as numpy does it in transformers.
/// @throws Error{input} if a deviation is zero or a number is not finite.
NormalizationTable normalization_table(const Normalization& normalization);

/// How a picture becomes rows of C = 3 * temporal * patch * patch values, in the order (channel, time, y, x): that of
/// a convolution's weight whose stride is its kernel.
struct PatchLayout {
  std::int64_t patch = 14;    ///< side in pixels
  std::int64_t temporal = 1;  ///< frames in a patch; a still picture fills each with the same values
  std::int64_t merge =
      1;  ///< rows come by blocks of merge x merge patches, which the projector joins; 1: raster

  std::int64_t columns() const { return 3 * temporal * patch * patch; }
};

/// Appends the patches of one picture to `pixels`, [grid.rows(), layout.columns()], and returns its grid.
/// Rows are ordered (block row, block column, row in block, column in block).
/// @throws Error{internal} if a side is no multiple of patch * merge.
Grid append_patches(const Image& image, const PatchLayout& layout, const NormalizationTable& table,
                    std::vector<float>& pixels);

}  // namespace mquant
