// The processor of SmolVLM and SmolVLM2 (idefics3, smolvlm): square tiles row by row, each named by its place, then a
// view of the whole.
#include "families/chat_template.h"
#include "families/processor.h"
#include "families/processor_files.h"
#include "families/processors.h"
#include "mquant/error.h"

namespace mquant {
namespace {

/// Source: get_image_prompt_string of transformers' processing_idefics3.
std::string picture_text(const PlacedPicture& picture) {
  std::string text;
  for (std::int64_t row = 1; row <= picture.cut.rows; ++row) {
    for (std::int64_t column = 1; column <= picture.cut.columns; ++column)
      text += cat("<fake_token_around_image><row_", row, "_col_", column, "><image>");
    text += "\n";
  }
  if (!text.empty()) text += "\n";
  return text + "<fake_token_around_image><global-img><image><fake_token_around_image>";
}

std::int64_t rows_of_a_tile(const std::filesystem::path& directory, const Config& config, std::int64_t side,
                            std::int64_t patch) {
  const std::int64_t across = rows_a_side(config, side, patch, small_count(config, "scale_factor", 2));
  const std::int64_t rows = across * across;
  require_agreement(open_processor_config(directory, {"image_seq_len"}), "image_seq_len", rows,
                    cat("a tile of ", side, " pixels with patches of ", patch));
  return rows;
}

}  // namespace

std::unique_ptr<Processor> make_smolvlm_processor(const std::filesystem::path& directory,
                                                  const Config& config, const ChatTemplate& stated) {
  const Config pre =
      open_preprocessor(directory, {.types = {"Idefics3ImageProcessor", "SmolVLMImageProcessor"},
                                    .keys = {"do_image_splitting", "max_image_size",
                                             // of the result, and of videos
                                             "return_row_col_info", "video_sampling"}});
  require_switch(pre, "do_image_splitting", true);
  require_filter(pre, ResizeFilter::lanczos);
  const std::int64_t side = square_side(pre, "max_image_size.longest_edge");
  require_agreement(config, "vision_config.image_size", side, pre.origin());
  const std::int64_t patch = config.positive_or("vision_config.patch_size", 32);
  ProcessorSpec spec{.tokenizer = open_tokenizer(directory)};
  spec.placeholder = "<image>";
  spec.pixels = PixelLayout::batch;
  spec.layout = {.patch = patch};
  spec.normalization = normalization(pre, kHalfNormalization);
  spec.tile = [side, longest = square_side(pre, "size.longest_edge")](const Image& image) {
    return tile_by_longest_edge(image, longest, side);
  };
  const std::int64_t rows = rows_of_a_tile(directory, config, side, patch);
  spec.place = [run = TokenIds(static_cast<std::size_t>(rows),
                               agreed_id(spec.tokenizer, spec.placeholder, config, "image_token_id"))](
                   const PlacedPicture& picture) {
    return PictureTokens{picture_text(picture), std::vector<TokenIds>(picture.tiles.size(), run)};
  };
  spec.stop_ids =
      stop_ids(directory, config, "text_config.eos_token_id", spec.tokenizer, {"<end_of_utterance>"});
  use_chat_template(spec, directory, stated, {.picture = spec.placeholder});
  return make_processor(std::move(spec));
}

}  // namespace mquant
