// JPEG through libjpeg-turbo.  It gives up by longjmp: see guarded().
#include <array>
#include <csetjmp>
#include <cstdio>
#include <optional>
#include <string_view>
#include <vector>

// After <cstdio>: jpeglib.h does not include what it uses.
#include <jerror.h>
#include <jpeglib.h>

#include "mquant/error.h"
#include "mquant/log.h"
#include "vision/codecs.h"
#include "vision/orientation.h"

namespace mquant::codec {
namespace {

/// A progressive file may hold thousands of tiny scans, each a walk over the whole picture.  Encoders write about ten.
constexpr int kMaxScans = 500;
constexpr unsigned kMaxMarkerBytes = 0xFFFF;
constexpr int kExifMarker = JPEG_APP0 + 1;

struct JpegReader {
  jpeg_decompress_struct cinfo{};
  jpeg_error_mgr errors{};
  jpeg_source_mgr source{};
  jpeg_progress_mgr progress{};
  std::jmp_buf escape{};
  std::array<char, JMSG_LENGTH_MAX> error{}, first_warning{};
  std::span<const std::byte> bytes;
  Image* image = nullptr;         // the result, allocated
  std::vector<std::uint8_t> row;  // one row of samples, when they are not RGB

  JpegReader() = default;
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;
  ~JpegReader() { jpeg_destroy_decompress(&cinfo); }  // does nothing before jpeg_create_decompress
};

JpegReader& reader_of(j_common_ptr cinfo) { return *static_cast<JpegReader*>(cinfo->client_data); }

void on_error(j_common_ptr cinfo) {
  JpegReader& reader = reader_of(cinfo);
  cinfo->err->format_message(cinfo, reader.error.data());
  std::longjmp(reader.escape, 1);
}

void on_message(j_common_ptr cinfo, int level) {
  if (level >= 0) return;  // a trace
  if (cinfo->err->num_warnings++ == 0)
    cinfo->err->format_message(cinfo, reader_of(cinfo).first_warning.data());
}

void on_progress(j_common_ptr cinfo) {
  JpegReader& reader = reader_of(cinfo);
  if (reader.cinfo.input_scan_number <= kMaxScans) return;
  std::snprintf(reader.error.data(), reader.error.size(), "more than %d scans", kMaxScans);
  std::longjmp(reader.escape, 1);
}

boolean on_end_of_input(j_decompress_ptr cinfo) {
  ERREXIT(cinfo, JERR_INPUT_EOF);
  return FALSE;
}

void skip_input(j_decompress_ptr cinfo, long count) {
  if (count <= 0) return;
  if (static_cast<std::size_t>(count) > cinfo->src->bytes_in_buffer) ERREXIT(cinfo, JERR_INPUT_EOF);
  cinfo->src->next_input_byte += count;
  cinfo->src->bytes_in_buffer -= static_cast<std::size_t>(count);
}

void do_nothing(j_decompress_ptr) {}

void read_header(JpegReader& reader) {
  jpeg_decompress_struct& cinfo = reader.cinfo;
  cinfo.err = jpeg_std_error(&reader.errors);
  reader.errors.error_exit = on_error;
  reader.errors.emit_message = on_message;
  cinfo.client_data = &reader;
  jpeg_create_decompress(&cinfo);

  jpeg_source_mgr& source = reader.source;
  source.next_input_byte = reinterpret_cast<const JOCTET*>(reader.bytes.data());
  source.bytes_in_buffer = reader.bytes.size();
  source.init_source = do_nothing;
  source.fill_input_buffer = on_end_of_input;
  source.skip_input_data = skip_input;
  source.resync_to_restart = jpeg_resync_to_restart;
  source.term_source = do_nothing;
  cinfo.src = &source;
  reader.progress.progress_monitor = on_progress;
  cinfo.progress = &reader.progress;

  jpeg_save_markers(&cinfo, kExifMarker, kMaxMarkerBytes);
  jpeg_read_header(&cinfo, TRUE);
}

void start(JpegReader& reader) { jpeg_start_decompress(&reader.cinfo); }

void grey_to_rgb(const std::uint8_t* from, std::size_t width, std::uint8_t* to) {
  for (std::size_t x = 0; x < width; ++x) to[3 * x] = to[3 * x + 1] = to[3 * x + 2] = from[x];
}

/// a * b / 255, rounded, without a division.  Exact for a, b in [0, 255].
int product_255(int a, int b) {
  const int t = a * b + 128;
  return (t + (t >> 8)) >> 8;
}

/// Samples are stored inverted (Adobe's habit; Pillow assumes it of every file): 255 means no ink.
void cmyk_to_rgb(const std::uint8_t* from, std::size_t width, std::uint8_t* to) {
  for (std::size_t x = 0; x < width; ++x) {
    const int light = from[4 * x + 3];  // 255 - K
    for (std::size_t c = 0; c < 3; ++c)
      to[3 * x + c] = static_cast<std::uint8_t>(light - product_255(255 - from[4 * x + c], light));
  }
}

void read_rows(JpegReader& reader) {
  jpeg_decompress_struct& cinfo = reader.cinfo;
  const std::size_t width = cinfo.output_width;
  while (cinfo.output_scanline < cinfo.output_height) {
    std::uint8_t* rgb = reader.image->rgb.data() + std::size_t{3} * cinfo.output_scanline * width;
    JSAMPROW row = cinfo.output_components == 3 ? rgb : reader.row.data();
    jpeg_read_scanlines(&cinfo, &row, 1);
    if (cinfo.output_components == 1) grey_to_rgb(row, width, rgb);
    if (cinfo.output_components == 4) cmyk_to_rgb(row, width, rgb);
  }
}

[[noreturn]] void fail_broken(const JpegReader& reader, const std::string& origin) {
  fail(ErrorKind::input, origin, ": truncated or broken JPEG: ", reader.error.data());
}

/// What to decode into: the samples of the file, with only YCbCr and YCCK converted.
J_COLOR_SPACE output_space(int components, const std::string& origin) {
  switch (components) {
    case 1: return JCS_GRAYSCALE;
    case 3: return JCS_RGB;
    case 4: return JCS_CMYK;
    default:
      fail(ErrorKind::input, origin, ": expected a JPEG of 1, 3 or 4 colour components, found ", components);
  }
}

/// EXIF first; XMP where EXIF says nothing, as Pillow does.
int find_orientation(const jpeg_decompress_struct& cinfo) {
  constexpr std::string_view kExif("Exif\0\0", 6), kXmp("http://ns.adobe.com/xap/1.0/\0", 29);
  std::optional<int> by_exif, by_xmp;
  for (jpeg_saved_marker_ptr marker = cinfo.marker_list; marker != nullptr; marker = marker->next) {
    const std::string_view text(reinterpret_cast<const char*>(marker->data), marker->data_length);
    if (text.starts_with(kExif) && !by_exif)
      by_exif = exif_orientation({marker->data + kExif.size(), marker->data_length - kExif.size()});
    if (text.starts_with(kXmp)) by_xmp = xmp_orientation(text.substr(kXmp.size()));
  }
  return by_exif.value_or(by_xmp.value_or(1));
}

}  // namespace

Decoded decode_jpeg(std::span<const std::byte> bytes, const std::string& origin, std::int64_t max_pixels) {
  Decoded decoded;
  JpegReader reader;
  reader.bytes = bytes;
  reader.image = &decoded.image;
  if (!guarded(reader, read_header)) fail_broken(reader, origin);

  jpeg_decompress_struct& cinfo = reader.cinfo;
  check_dimensions(cinfo.image_width, cinfo.image_height, max_pixels, origin);
  cinfo.out_color_space = output_space(cinfo.num_components, origin);
  cinfo.dct_method = JDCT_ISLOW;
  cinfo.do_fancy_upsampling = TRUE;
  if (!guarded(reader, start)) fail_broken(reader, origin);

  decoded.orientation = find_orientation(cinfo);
  decoded.image.width = cinfo.output_width;
  decoded.image.height = cinfo.output_height;
  const std::size_t pixels = std::size_t{cinfo.output_width} * cinfo.output_height;
  decoded.image.rgb.resize(3 * pixels);
  reader.row.resize(std::size_t{cinfo.output_width} * static_cast<std::size_t>(cinfo.output_components));
  if (!guarded(reader, read_rows)) fail_broken(reader, origin);

  // jpeg_finish_decompress would only insist on an end marker; the pixels are there.
  if (reader.errors.num_warnings > 0)
    debug(cat(origin, ": ", reader.errors.num_warnings,
              " JPEG warnings, the first: ", reader.first_warning.data()));
  return decoded;
}

}  // namespace mquant::codec
