// The processor of MiniCPM-V 2.6: a picture is shown whole, then cut into slices of about the tower's area; each of them
// is resampled to the same number of rows.
#include "families/chat_template.h"
#include "families/processor.h"
#include "families/processor_files.h"
#include "families/processors.h"

namespace mquant {
namespace {

/// What preprocessor_config.json calls the tokens around pictures.
struct Marks {
  std::string image_begin, image_end, slice_begin, slice_end, id_begin, id_end, row;
};

Marks marks(const Config& pre) {
  return {.image_begin = pre.string_or("im_start", "<image>"),
          .image_end = pre.string_or("im_end", "</image>"),
          .slice_begin = pre.string_or("slice_start", "<slice>"),
          .slice_end = pre.string_or("slice_end", "</slice>"),
          .id_begin = pre.string_or("im_id_start", "<image_id>"),
          .id_end = pre.string_or("im_id_end", "</image_id>"),
          .row = pre.string_or("unk", "<unk>")};
}

/// The number of the picture, the whole, then the slices, a line for each row of them.
std::string picture_text(const PlacedPicture& picture, const Marks& m, bool numbered) {
  std::string text = m.image_begin + m.row + m.image_end;
  if (numbered) text = m.id_begin + std::to_string(picture.number) + m.id_end + text;
  for (std::int64_t row = 0; row < picture.cut.rows; ++row) {
    if (row > 0) text += "\n";
    for (std::int64_t column = 0; column < picture.cut.columns; ++column)
      text += m.slice_begin + m.row + m.slice_end;
  }
  return text;
}

}  // namespace

std::unique_ptr<Processor> make_minicpm_v_processor(const std::filesystem::path& directory,
                                                    const Config& config, const ChatTemplate& stated) {
  const Config pre = open_preprocessor(
      directory, {.types = {"MiniCPMVImageProcessor"},
                  .keys = {"im_end", "im_id_end", "im_id_start", "im_start", "image_feature_size",
                           "max_slice_nums", "norm_mean", "norm_std", "patch_size", "scale_resolution",
                           "slice_end", "slice_mode", "slice_start", "unk", "use_image_id", "version"}});
  require_switch(pre, "slice_mode", true);
  const Marks tokens = marks(pre);
  const std::int64_t patch = config.positive_or("vision_config.patch_size", 14);
  require_agreement(pre, "patch_size", patch, config.origin());
  const std::int64_t rows = small_count(config, "query_num", 64);
  require_agreement(pre, "image_feature_size", rows, config.origin());
  for (const char* key : {"use_image_id", "slice_mode"}) require_agreement(pre, key, config, key);
  require_agreement(pre, "max_slice_nums", config, "slice_config.max_slice_nums");
  ProcessorSpec spec{.tokenizer = open_tokenizer(directory)};
  spec.shown_picture = ProcessorSpec::ShownPicture::expanded;
  spec.placeholder = tokens.row;
  spec.reserved = {tokens.image_begin, tokens.image_end, tokens.slice_begin, tokens.slice_end};
  spec.pixels = PixelLayout::strips;
  spec.layout = {.patch = patch};
  spec.normalization = normalization(pre, kHalfNormalization, "norm_mean", "norm_std");
  spec.tile = [patch, resolution = pre.positive_or("scale_resolution", 448),
               most = small_count(pre, "max_slice_nums", 9)](const Image& image) {
    return slice_by_area(image, resolution, patch, most);
  };
  spec.place = [tokens, numbered = switch_or(pre, "use_image_id", false),
                run = TokenIds(static_cast<std::size_t>(rows), spec.tokenizer.id_of(tokens.row))](
                   const PlacedPicture& picture) {
    return PictureTokens{picture_text(picture, tokens, numbered),
                         std::vector<TokenIds>(picture.tiles.size(), run)};
  };
  spec.stop_ids = stop_ids(directory, config, "eos_token_id", spec.tokenizer, {"<|im_end|>"});
  use_chat_template(spec, directory, stated, {.picture = "(<image>./</image>)", .as_text = true});
  return make_processor(std::move(spec));
}

}  // namespace mquant
