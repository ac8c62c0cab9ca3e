// The processor of Gemma 3 (4B and above): one stretched square a picture, pooled to a fixed number of rows.
#include <cmath>

#include "families/chat_template.h"
#include "families/processor.h"
#include "families/processor_files.h"
#include "families/processors.h"
#include "mquant/error.h"

namespace mquant {
namespace {

struct Marks {
  std::string begin, row, end;
};

/// mm_tokens_per_image, of which the side must divide that of the patches.
std::int64_t rows_of_a_picture(const std::filesystem::path& directory, const Config& config,
                               const Config& pre, std::int64_t patches) {
  const std::int64_t rows = small_count(config, "mm_tokens_per_image", 256);
  const auto side = static_cast<std::int64_t>(std::lround(std::sqrt(static_cast<double>(rows))));
  if (side * side != rows || patches % side != 0)
    fail(ErrorKind::input, config.origin(), ": 'mm_tokens_per_image' is ", rows,
         ": expected the square of a divisor of ", patches, ", the patches a side");
  require_agreement(open_processor_config(directory, {"image_seq_length"}), "image_seq_length", rows,
                    config.origin());
  require_agreement(pre, "image_seq_length", rows, config.origin());
  return rows;
}

}  // namespace

std::unique_ptr<Processor> make_gemma3_processor(const std::filesystem::path& directory, const Config& config,
                                                 const ChatTemplate& stated) {
  const Config pre =
      open_preprocessor(directory, {.types = {"Gemma3ImageProcessor"},
                                    .keys = {"do_pan_and_scan", "image_seq_length",
                                             // of pan and scan, which is off
                                             "pan_and_scan_max_num_crops", "pan_and_scan_min_crop_size",
                                             "pan_and_scan_min_ratio_to_activate"}});
  require_switch(pre, "do_pan_and_scan", false);
  const Config names = open_tokenizer_config(directory);
  const Marks tokens = {names.string_or("boi_token", "<start_of_image>"),
                        names.string_or("image_token", "<image_soft_token>"),
                        names.string_or("eoi_token", "<end_of_image>")};
  const std::int64_t side = square_side(pre, "size");
  require_agreement(config, "vision_config.image_size", side, pre.origin());
  ProcessorSpec spec{.tokenizer = open_tokenizer(directory)};
  spec.placeholder = tokens.row;
  spec.reserved = {tokens.begin};
  spec.layout = {.patch = config.positive_or("vision_config.patch_size", 16)};
  spec.normalization = normalization(pre, kHalfNormalization);
  spec.tile = [side, kernel = filter(pre, ResizeFilter::bilinear)](const Image& image) {
    return stretched(image, side, kernel);
  };
  agreed_id(spec.tokenizer, tokens.begin, config, "boi_token_index");
  agreed_id(spec.tokenizer, tokens.end, config, "eoi_token_index");
  const std::int64_t id = agreed_id(spec.tokenizer, tokens.row, config, "image_token_index");
  const std::int64_t rows =
      rows_of_a_picture(directory, config, pre, rows_a_side(config, side, spec.layout.patch));
  spec.place = [tokens, run = TokenIds(static_cast<std::size_t>(rows), id)](const PlacedPicture&) {
    return PictureTokens{"\n\n" + tokens.begin + tokens.row + tokens.end + "\n\n", {run}};
  };
  spec.stop_ids = stop_ids(directory, config, "eos_token_id", spec.tokenizer, {"<end_of_turn>"});
  use_chat_template(spec, directory, stated, {.picture = tokens.begin});
  return make_processor(std::move(spec));
}

}  // namespace mquant
