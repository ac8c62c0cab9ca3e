// The processor of InternVL 3 and 3.5 in the layout of transformers: pictures cut into square tiles by aspect ratio, a
// view of the whole last, all tiles of a picture in one run of tokens.
#include "families/chat_template.h"
#include "families/processor.h"
#include "families/processor_files.h"
#include "families/processors.h"
#include "mquant/error.h"

namespace mquant {
namespace {

/// GotOcr2's tiling, which the processor switches on whatever crop_to_patches says.
std::function<Tiling(const Image&)> tiling(const Config& pre, std::int64_t side) {
  require_filter(pre, ResizeFilter::bicubic);
  const CountRange tiles = count_range(pre, "min_patches", "max_patches", {.least = 1, .most = 12});
  return [side, tiles](const Image& image) {
    return tile_by_aspect(image, side, tiles.least, tiles.most, Thumbnail::yes);
  };
}

/// Vision rows of one tile, which three files may state.
std::int64_t rows_of_a_tile(const std::filesystem::path& directory, const Config& config, std::int64_t side,
                            std::int64_t patch) {
  const std::int64_t joined = joined_side(config, "downsample_ratio", 0.5);
  const std::int64_t across = rows_a_side(config, side, patch, joined), rows = across * across;
  const std::string source = cat("a tile of ", side, " pixels with patches of ", patch);
  require_agreement(config, "image_seq_length", rows, source);
  require_agreement(open_processor_config(directory, {"image_seq_length"}), "image_seq_length", rows, source);
  return rows;
}

}  // namespace

std::unique_ptr<Processor> make_internvl_hf_processor(const std::filesystem::path& directory,
                                                      const Config& config, const ChatTemplate& stated) {
  const Config pre = open_preprocessor(
      directory,
      {.types = {"GotOcr2ImageProcessor"}, .keys = {"crop_to_patches", "max_patches", "min_patches"}});
  const Config names = open_tokenizer_config(directory);
  const std::int64_t side = square_side(pre, "size");
  const std::int64_t patch = square_side(config, "vision_config.patch_size");
  if (const std::int64_t tower = square_side(config, "vision_config.image_size"); tower != side)
    fail(ErrorKind::input, pre.origin(), ": 'size' is ", side, ": expected ", tower,
         ", as 'vision_config.image_size' of config.json says");
  ProcessorSpec spec{.tokenizer = open_tokenizer(directory)};
  spec.placeholder = names.string_or("context_image_token", "<IMG_CONTEXT>");
  spec.layout = {.patch = patch};
  spec.normalization = normalization(pre, kClipNormalization);
  spec.tile = tiling(pre, side);
  spec.place = [marker = spec.placeholder,
                span = names.string_or("start_image_token", "<img>") + spec.placeholder +
                       names.string_or("end_image_token", "</img>"),
                rows = rows_of_a_tile(directory, config, side, patch),
                id = agreed_id(spec.tokenizer, spec.placeholder, config, "image_token_id")](
                   const PlacedPicture& picture) {
    return PictureTokens{with(picture.text, marker, span),
                         {TokenIds(picture.tiles.size() * static_cast<std::size_t>(rows), id)}};
  };
  spec.stop_ids = stop_ids(directory, config, "text_config.eos_token_id", spec.tokenizer);
  use_chat_template(spec, directory, stated, {.picture = spec.placeholder});
  return make_processor(std::move(spec));
}

}  // namespace mquant
