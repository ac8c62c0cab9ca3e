// WebP through libwebp: the first frame where the file is an animation.
#include <webp/decode.h>
#include <webp/demux.h>

#include <memory>
#include <string_view>

#include "mquant/error.h"
#include "vision/codecs.h"
#include "vision/orientation.h"

namespace mquant::codec {
namespace {

struct Delete {
  void operator()(WebPAnimDecoder* decoder) const { WebPAnimDecoderDelete(decoder); }
};

std::string_view chunk_of(const WebPDemuxer* demuxer, const char* name) {
  WebPChunkIterator chunk{};
  if (WebPDemuxGetChunk(demuxer, name, 1, &chunk) == 0) return {};
  const std::string_view bytes(reinterpret_cast<const char*>(chunk.chunk.bytes), chunk.chunk.size);
  WebPDemuxReleaseChunkIterator(&chunk);  // the bytes are the file's
  return bytes;
}

/// EXIF first; XMP where EXIF says nothing, as Pillow does.
int find_orientation(const WebPDemuxer* demuxer) {
  const std::string_view exif = chunk_of(demuxer, "EXIF");
  std::optional<int> found =
      exif_orientation({reinterpret_cast<const std::uint8_t*>(exif.data()), exif.size()});
  if (!found) found = xmp_orientation(chunk_of(demuxer, "XMP "));
  return found.value_or(1);
}

}  // namespace

Decoded decode_webp(std::span<const std::byte> bytes, const std::string& origin, std::int64_t max_pixels) {
  const auto* begin = reinterpret_cast<const std::uint8_t*>(bytes.data());
  WebPBitstreamFeatures features{};
  if (WebPGetFeatures(begin, bytes.size(), &features) != VP8_STATUS_OK)
    fail(ErrorKind::input, origin, ": truncated or broken WebP header");
  check_dimensions(features.width, features.height, max_pixels, origin);

  const WebPData data = {begin, bytes.size()};
  WebPAnimDecoderOptions options{};
  if (WebPAnimDecoderOptionsInit(&options) == 0) fail(ErrorKind::internal, "libwebp of another version");
  options.color_mode = MODE_RGBA;
  const std::unique_ptr<WebPAnimDecoder, Delete> decoder(WebPAnimDecoderNew(&data, &options));
  std::uint8_t* rgba = nullptr;
  int timestamp = 0;
  if (!decoder || WebPAnimDecoderGetNext(decoder.get(), &rgba, &timestamp) == 0)
    fail(ErrorKind::input, origin, ": truncated or broken WebP");

  Decoded decoded;
  decoded.image = {features.width, features.height, {}};
  const std::size_t pixels =
      static_cast<std::size_t>(features.width) * static_cast<std::size_t>(features.height);
  decoded.image.rgb.resize(3 * pixels);
  for (std::size_t i = 0; i < pixels; ++i)  // alpha is dropped, not composited
    for (std::size_t c = 0; c < 3; ++c) decoded.image.rgb[3 * i + c] = rgba[4 * i + c];
  decoded.orientation = find_orientation(WebPAnimDecoderGetDemuxer(decoder.get()));
  return decoded;
}

}  // namespace mquant::codec
