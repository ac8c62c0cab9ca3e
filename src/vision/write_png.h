// Pictures to files.
#pragma once

#include <filesystem>

#include "mquant/sample.h"

namespace mquant {

/// Writes an 8-bit RGB PNG.
/// @throws Error{resources} if it cannot be written
void write_png(const Image& image, const std::filesystem::path& path);

}  // namespace mquant
