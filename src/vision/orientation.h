// Which way up a picture is, as its camera noted.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "mquant/sample.h"

namespace mquant::codec {

/// The orientation (tag 0x0112) in the first directory of EXIF data, a small TIFF file; none if absent or broken, 1 if
/// it has no meaning.  It counts in any numeric type, BYTE excepted, which is how Pillow reads it.
/// Source: Exif 2.32, JEITA CP-3451E, section 4.6.4; TIFF 6.0, section 2; Pillow 13.
std::optional<int> exif_orientation(std::span<const std::uint8_t> tiff);

/// tiff:Orientation of an XMP packet, as attribute or element; none if absent.
std::optional<int> xmp_orientation(std::string_view packet);

/// Turns or mirrors so that row 0 is the visual top: 1 as it is, 2 mirrored, 3 by 180 degrees, 4 upside down,
/// 5 transposed, 6 by 90 degrees clockwise, 7 transposed over the other diagonal, 8 by 90 degrees anticlockwise.
/// Any other value leaves the picture as it is.
Image oriented(Image image, int orientation);

}  // namespace mquant::codec
