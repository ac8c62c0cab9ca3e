#include "families/eva_processor.h"

#include "families/processor_files.h"

namespace mquant {
namespace {

constexpr std::int64_t kJoined = 2;  // patches a side, by the convolution behind the tower

}  // namespace

void set_eva_picture(ProcessorSpec& spec, const Config& config) {
  const std::int64_t side = square_side(config, "vision_config.image_size");
  spec.layout = {.patch = config.positive("vision_config.patch_size")};
  spec.normalization = kClipNormalization;
  spec.tile = [side](const Image& image) { return stretched(image, side, ResizeFilter::bicubic); };
  spec.shown_picture = ProcessorSpec::ShownPicture::not_at_all;
  spec.positions = ProcessorSpec::Positions::shared;
}

std::int64_t eva_rows(const Config& config) {
  const std::int64_t across = rows_a_side(config, square_side(config, "vision_config.image_size"),
                                          config.positive("vision_config.patch_size"), kJoined);
  return across * across + 2;
}

}  // namespace mquant
