// GIF through giflib: the first picture of a file, on its screen, by Pillow's rules.
#include <gif_lib.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "mquant/error.h"
#include "vision/codecs.h"

namespace mquant::codec {
namespace {

struct Close {
  void operator()(GifFileType* gif) const { DGifCloseFile(gif, nullptr); }
};

int read_input(GifFileType* gif, GifByteType* to, int count) {
  auto& rest = *static_cast<std::span<const std::byte>*>(gif->UserData);
  const std::size_t size = std::min(rest.size(), static_cast<std::size_t>(count));
  std::memcpy(to, rest.data(), size);
  rest = rest.subspan(size);
  return static_cast<int>(size);
}

[[noreturn]] void fail_broken(int error, const std::string& origin) {
  const char* reason = GifErrorString(error);
  fail(ErrorKind::input, origin, ": truncated or broken GIF: ", reason ? reason : "no picture in it");
}

/// The index of the transparent colour, -1 if none, as a graphics control block states it.
int transparent_index(const GifByteType* extension) {
  GraphicsControlBlock control{};
  if (DGifExtensionToGCB(extension[0], extension + 1, &control) == GIF_ERROR) return NO_TRANSPARENT_COLOR;
  return control.TransparentColor;
}

/// Reads up to the descriptor of the first picture.  Returns the transparent index that was stated on the way.
int find_picture(GifFileType* gif, const std::string& origin) {
  int transparent = NO_TRANSPARENT_COLOR;
  for (;;) {
    GifRecordType record = UNDEFINED_RECORD_TYPE;
    if (DGifGetRecordType(gif, &record) == GIF_ERROR || record == TERMINATE_RECORD_TYPE)
      fail_broken(gif->Error, origin);
    if (record == IMAGE_DESC_RECORD_TYPE) break;
    int code = 0;
    GifByteType* extension = nullptr;
    if (DGifGetExtension(gif, &code, &extension) == GIF_ERROR) fail_broken(gif->Error, origin);
    if (code == GRAPHICS_EXT_FUNC_CODE && extension != nullptr) transparent = transparent_index(extension);
    while (extension != nullptr)
      if (DGifGetExtensionNext(gif, &extension) == GIF_ERROR) fail_broken(gif->Error, origin);
  }
  if (DGifGetImageDesc(gif) == GIF_ERROR) fail_broken(gif->Error, origin);
  return transparent;
}

/// Colours by index: grey levels where the file has no colours, black beyond those that it has.
std::array<std::uint8_t, 3 * 256> palette_of(const GifFileType& gif) {
  std::array<std::uint8_t, 3 * 256> palette{};
  const ColorMapObject* colors = gif.Image.ColorMap != nullptr ? gif.Image.ColorMap : gif.SColorMap;
  bool is_grey = true;
  for (std::size_t i = 0; colors != nullptr && i < static_cast<std::size_t>(colors->ColorCount); ++i) {
    const GifColorType& color = colors->Colors[i];
    palette[3 * i] = color.Red, palette[3 * i + 1] = color.Green, palette[3 * i + 2] = color.Blue;
    is_grey = is_grey && color.Red == i && color.Green == i && color.Blue == i;
  }
  if (is_grey)
    for (std::size_t i = 0; i < palette.size(); ++i) palette[i] = static_cast<std::uint8_t>(i / 3);
  return palette;
}

/// The rows of a picture in the order in which the file has them.
std::vector<std::int64_t> row_order(std::int64_t height, bool interlaced) {
  constexpr std::array<std::array<std::int64_t, 2>, 4> kPasses = {{{0, 8}, {4, 8}, {2, 4}, {1, 2}}};
  std::vector<std::int64_t> rows;
  const auto add_pass = [&](std::int64_t first, std::int64_t step) {
    for (std::int64_t row = first; row < height; row += step) rows.push_back(row);
  };
  if (interlaced) {
    for (const auto& [first, step] : kPasses) add_pass(first, step);
  } else {
    add_pass(0, 1);
  }
  return rows;
}

}  // namespace

Decoded decode_gif(std::span<const std::byte> bytes, const std::string& origin, std::int64_t max_pixels) {
  std::span<const std::byte> rest = bytes;
  int error = 0;
  const std::unique_ptr<GifFileType, Close> gif(DGifOpen(&rest, read_input, &error));
  if (!gif) fail_broken(error, origin);
  const int transparent = find_picture(gif.get(), origin);

  const GifImageDesc& place = gif->Image;
  Decoded decoded;
  Image& image = decoded.image;
  // Where a picture is larger than the screen, Pillow lets the screen grow.
  image.width = std::max<std::int64_t>(gif->SWidth, std::int64_t{place.Left} + place.Width);
  image.height = std::max<std::int64_t>(gif->SHeight, std::int64_t{place.Top} + place.Height);
  check_dimensions(image.width, image.height, max_pixels, origin);
  if (place.Width <= 0 || place.Height <= 0) fail(ErrorKind::input, origin, ": an empty picture in a GIF");

  const auto palette = palette_of(*gif);
  const auto color = [&](std::size_t index, std::uint8_t* to) {
    std::copy_n(palette.data() + 3 * index, 3, to);
  };
  image.rgb.resize(static_cast<std::size_t>(3 * image.width * image.height));
  const auto around =
      static_cast<std::size_t>(std::max(transparent, 0));  // of the screen, where no picture is
  for (std::size_t i = 0; i < image.rgb.size(); i += 3) color(around, image.rgb.data() + i);
  std::vector<GifPixelType> line(static_cast<std::size_t>(place.Width));
  for (const std::int64_t row : row_order(place.Height, place.Interlace)) {
    if (DGifGetLine(gif.get(), line.data(), place.Width) == GIF_ERROR) fail_broken(gif->Error, origin);
    std::uint8_t* to = image.rgb.data() + 3 * ((place.Top + row) * image.width + place.Left);
    for (const GifPixelType index : line) color(index, to), to += 3;
  }
  return decoded;
}

}  // namespace mquant::codec
