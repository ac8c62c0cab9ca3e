#include "vision/write_png.h"

#include <png.h>

#include "mquant/error.h"

namespace mquant {

void write_png(const Image& image, const std::filesystem::path& path) {
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  png.width = static_cast<png_uint_32>(image.width);
  png.height = static_cast<png_uint_32>(image.height);
  png.format = PNG_FORMAT_RGB;
  if (png_image_write_to_file(&png, path.c_str(), 0, image.rgb.data(), 0, nullptr) == 0)
    fail(ErrorKind::resources, path.string(), ": cannot write a picture: ", png.message);
}

}  // namespace mquant
