// Pictures from files: JPEG, PNG, WebP, GIF and BMP to 8-bit RGB, byte for byte as Pillow's convert("RGB")
// makes them, because models were trained and calibrated on those bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "mquant/sample.h"

namespace mquant {

/// Above this Pillow calls a picture a decompression bomb and refuses it (twice its MAX_IMAGE_PIXELS).
inline constexpr std::int64_t kMaxPixels = 178'956'970;
/// No picture of kMaxPixels that a camera or a browser writes is larger.
inline constexpr std::int64_t kMaxPictureFileBytes = std::int64_t{1} << 30;

struct DecodeOptions {
  /// Turn the picture as its EXIF (or XMP) orientation says, as transformers' load_image does.
  bool apply_orientation = true;
  std::int64_t max_pixels = kMaxPixels;
};

/// Decodes a picture file held in memory; `origin` is what messages call it.
///
/// JPEG  grey, YCbCr and RGB by libjpeg-turbo (accurate integer IDCT, fancy upsampling); CMYK and YCCK are
///       taken as stored inverted, Adobe's habit, and multiplied out as Pillow does.
/// PNG   alpha and transparent colours are dropped, not composited; 16-bit colour keeps the high byte; 16-bit
///       grey is clipped at 255, not scaled (Pillow's I;16); gamma and colour profiles are ignored.  A wrong
///       checksum of pixels, and an end that is cut off after the last pixel, are passed over, as Pillow does.
/// WebP  lossy and lossless by libwebp; alpha is dropped; the first frame of an animation.
/// GIF   the first picture on its screen; around it the transparent colour, or that of index 0.
/// BMP   rows of 1, 4, 8, 16, 24 or 32 bits without compression; the fourth byte of 32 bits is not alpha.
/// @throws Error{input}       for a truncated or broken file, something that is not a picture, more than
///                            max_pixels
///         Error{unsupported} for a picture of another format or kind, naming it
///         What the codecs only warn of goes to the debug log.
/// Source  checked against Pillow 13: tests/data/goldens/images.
Image decode_image(std::span<const std::byte> bytes, const std::string& origin,
                   const DecodeOptions& options = {});

/// Reads and decodes a file.
/// @throws Error{input} as above, and if the file is absent, no regular file or over kMaxPictureFileBytes.
Image open_image(const std::filesystem::path& path, const DecodeOptions& options = {});

}  // namespace mquant
