// The processor of Qwen2-VL, Qwen2.5-VL and Qwen3-VL: pictures resized to whole merge blocks within limits of area, one
// placeholder a picture, expanded to as many tokens as the projector makes of it, m-rope positions.
#include "families/chat_template.h"
#include "families/parts.h"
#include "families/processor.h"
#include "families/processor_files.h"
#include "families/processors.h"
#include "mquant/error.h"

namespace mquant {
namespace {

/// Areas in pixels, which later releases call edges.  Source of the defaults: transformers' image_processing_qwen2_vl.
struct PixelLimits {
  std::int64_t least = 0, most = 0;
};

PixelLimits pixel_limits(const Config& pre) {
  const auto limit = [&pre](const char* key, const char* later, std::int64_t otherwise) {
    return pre.has(key) ? pre.positive(key) : pre.has("size") ? pre.positive(later) : otherwise;
  };
  const PixelLimits limits = {limit("min_pixels", "size.shortest_edge", 56 * 56),
                              limit("max_pixels", "size.longest_edge", 28 * 28 * 1280)};
  if (limits.least > limits.most)
    fail(ErrorKind::input, pre.origin(), ": pictures of at least ", limits.least, " and at most ",
         limits.most, " pixels: expected limits in order");
  return limits;
}

std::unique_ptr<Processor> make_qwen(const std::filesystem::path& directory, const Config& config,
                                     const ChatTemplate& stated) {
  const Config pre = open_preprocessor(
      directory, {.types = {"Qwen2VLImageProcessor"},
                  .keys = {"max_pixels", "merge_size", "min_pixels", "patch_size", "temporal_patch_size"}});
  open_processor_config(directory, {});
  ProcessorSpec spec{.tokenizer = open_tokenizer(directory)};
  spec.placeholder = "<|image_pad|>";
  spec.pixels = PixelLayout::rows;
  spec.layout = {pre.positive("patch_size"), pre.positive("temporal_patch_size"), pre.positive("merge_size")};
  require_agreement(config, "vision_config.patch_size", spec.layout.patch, pre.origin());
  require_agreement(config, "vision_config.temporal_patch_size", spec.layout.temporal, pre.origin());
  require_agreement(config, "vision_config.spatial_merge_size", spec.layout.merge, pre.origin());
  spec.normalization = normalization(pre, kClipNormalization);
  spec.tile = [layout = spec.layout, limits = pixel_limits(pre),
               options = ResizeOptions{.filter = filter(pre, ResizeFilter::bicubic)}](const Image& image) {
    const ImageSize size =
        smart_resize(size_of(image), layout.patch * layout.merge, limits.least, limits.most);
    Tiling tiling{.grid = {0, 0}, .tiles = {}};
    tiling.tiles.push_back(resize(image, size, options));
    return tiling;
  };
  spec.place = [merged = spec.layout.merge * spec.layout.merge,
                id = agreed_id(spec.tokenizer, spec.placeholder, config, "image_token_id")](
                   const PlacedPicture& picture) {
    return PictureTokens{picture.text,
                         {TokenIds(static_cast<std::size_t>(picture.tiles[0].rows() / merged), id)}};
  };
  spec.positions = ProcessorSpec::Positions::mrope;
  spec.stop_ids = stop_ids(directory, config, text(config) + "eos_token_id", spec.tokenizer);
  use_chat_template(spec, directory, stated, {.picture = spec.placeholder});
  return make_processor(std::move(spec));
}

}  // namespace

std::unique_ptr<Processor> make_qwen_processor(const std::filesystem::path& directory, const Config& config,
                                               const ChatTemplate& stated) {
  return make_qwen(directory, config, stated);
}

std::unique_ptr<Processor> make_qwen2_5_vl_processor(const std::filesystem::path& directory,
                                                     const Config& config, const ChatTemplate& stated) {
  return make_qwen(directory, config, stated);
}

std::unique_ptr<Processor> make_qwen3_vl_processor(const std::filesystem::path& directory,
                                                   const Config& config, const ChatTemplate& stated) {
  return make_qwen(directory, config, stated);
}

}  // namespace mquant
