// A picture of any format.  The targets of formats (png, jpeg, gif, webp, bmp) differ by their seeds.
#include "tests/fuzz/target.h"
#include "vision/decode.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mquant;
  static const DecodeOptions options = {.max_pixels = 1 << 22};  // larger ones say nothing new, slowly
  return fuzz::read_or_refuse([&] { decode_image(fuzz::bytes_of(data, size), "picture", options); });
}
