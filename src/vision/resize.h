// Resampling of pictures, bit for bit as Pillow's Image.resize does it on 8-bit RGB.
#pragma once

#include <cstdint>
#include <optional>

#include "mquant/sample.h"

namespace mquant {

struct ImageSize {
  std::int64_t width = 0, height = 0;
  std::int64_t area() const { return width * height; }
  bool operator==(const ImageSize&) const = default;
};

inline ImageSize size_of(const Image& image) { return {image.width, image.height}; }

/// The kernels, with Pillow's parameters: bicubic has a = -0.5, Lanczos three lobes.
enum class ResizeFilter { bilinear, bicubic, lanczos };

/// Which of the two passes comes first.  Each rounds to 8 bits, so the order shows in the result.
enum class PassOrder {
  pillow_13,        ///< rows first where the height shrinks by more than twice as many pixels as the width
  horizontal_first  ///< columns first always: Pillow before 13
};

/// A part of the picture to sample from, in pixels, corners at (left, top) and (right, bottom); fractions allowed.
struct SampleBox {
  float left = 0, top = 0, right = 0, bottom = 0;
};

struct ResizeOptions {
  ResizeFilter filter = ResizeFilter::bicubic;
  PassOrder order = PassOrder::pillow_13;
  std::optional<SampleBox> box;  ///< none: the whole picture
};

/// Resamples `image` to `size`; the aspect ratio is not kept, shrinking widens the kernel (antialiasing).
///
/// @throws Error{input} if the result would be empty or over kMaxPixels, or the box leaves the picture.
/// Cost    O(h w' k + h' w' k') for kernels of k and k' taps, 6 taps or 6 times the shrink factor with Lanczos;
///         one picture of h x w' (or h' x w) beyond the result.  Safe to call from several threads.
/// Source  Pillow's separable convolution: weights normalised in double, rounded to 22-bit fixed point; 8 bits
///         between the passes.  Checked against Pillow 13: tests/data/goldens/images.
Image resize(const Image& image, ImageSize size, const ResizeOptions& options = {});

}  // namespace mquant
