// What the decoders of src/vision share; not for other folders.
#pragma once

#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "mquant/sample.h"

namespace mquant::codec {

struct Decoded {
  Image image;          // as stored
  int orientation = 1;  // EXIF's, 1 to 8
};

/// All throw Error{input} with `origin` in front.
Decoded decode_jpeg(std::span<const std::byte> bytes, const std::string& origin, std::int64_t max_pixels);
Decoded decode_png(std::span<const std::byte> bytes, const std::string& origin, std::int64_t max_pixels);
Decoded decode_bmp(std::span<const std::byte> bytes, const std::string& origin, std::int64_t max_pixels);
Decoded decode_gif(std::span<const std::byte> bytes, const std::string& origin, std::int64_t max_pixels);
Decoded decode_webp(std::span<const std::byte> bytes, const std::string& origin, std::int64_t max_pixels);

/// Throws Error{input} if a header asks for no pixels or for more than allowed; before anything is allocated.
void check_dimensions(std::int64_t width, std::int64_t height, std::int64_t max_pixels,
                      const std::string& origin);

/// Runs one step of a C codec, which leaves by longjmp to reader.escape when it gives up; false if it did.
///
/// Such a jump may only pass frames without destructors.  So every call that may jump stands in a step function that
/// owns nothing, memory belongs to the Reader and to callers of guarded(), and there is no other setjmp.
template <class Reader>
bool guarded(Reader& reader, void (*step)(Reader&)) {
  if (setjmp(reader.escape) != 0) return false;
  step(reader);
  return true;
}

}  // namespace mquant::codec
