// The processor of LLaVA 1.5 (llava-hf): one tile a picture, the middle of it, and a vicuna prompt with the pictures of
// a turn before its texts.
#include "families/processor.h"
#include "families/processor_files.h"
#include "families/processors.h"
#include "mquant/error.h"

namespace mquant {
namespace {

PromptSpec vicuna() {
  PromptSpec prompt;
  prompt.user = {"USER: ", ""};
  prompt.assistant = {"ASSISTANT: ", ""};
  prompt.generation = "ASSISTANT:";
  prompt.after_text_part = " ";
  prompt.before_answer = " ";
  prompt.after_answer = "</s>";
  prompt.image_place = PromptSpec::ImagePlace::before_text;
  prompt.image = "<image>\n";
  return prompt;
}

/// The side of the tower's square picture, on which config.json and the image processor must agree.
std::int64_t tile_side(const Config& pre, const Config& config) {
  const bool crops = pre.boolean_or("do_center_crop", true) && pre.has("crop_size");
  const std::int64_t side = square_side(pre, crops ? "crop_size" : "size");
  require_agreement(config, "vision_config.image_size", side, pre.origin());
  return side;
}

/// CLIP's image processor: short side, then the middle; SigLIP's, where `size` is a square: the whole, stretched.
std::function<Tiling(const Image&)> tiling(const Config& pre, std::int64_t side) {
  const ResizeFilter kernel = filter(pre, ResizeFilter::bicubic);
  require_switch(pre, "do_resize", true);
  if (!pre.boolean_or("do_center_crop", true) || !pre.has("crop_size"))
    return [side, kernel](const Image& image) { return stretched(image, side, kernel); };
  const std::int64_t shorter =
      pre.has("size.shortest_edge") ? square_side(pre, "size.shortest_edge") : square_side(pre, "size");
  return [side, shorter, kernel](const Image& image) {
    const Image resized = resize(image, short_side_size(size_of(image), shorter), {.filter = kernel});
    Tiling tiling{.grid = {0, 0}, .tiles = {}};
    tiling.tiles.push_back(center_crop(resized, {side, side}));
    return tiling;
  };
}

/// One row a patch; the class token is left out.
std::int64_t rows_of_a_picture(const Config& config, std::int64_t side, std::int64_t patch) {
  if (config.string_or("vision_feature_select_strategy", "default") != "default")
    fail(ErrorKind::unsupported, config.origin(), ": 'vision_feature_select_strategy' is \"",
         config.string("vision_feature_select_strategy"), "\"; known is \"default\"");
  const std::int64_t across = rows_a_side(config, side, patch), rows = across * across;
  require_agreement(config, "image_seq_length", rows,
                    cat("a picture of ", side, " pixels with patches of ", patch));
  return rows;
}

}  // namespace

std::unique_ptr<Processor> make_llava_processor(const std::filesystem::path& directory,
                                                const Config& config) {
  const Config pre = open_preprocessor(directory);
  const std::int64_t side = tile_side(pre, config);
  const std::int64_t patch = config.positive_or("vision_config.patch_size", 14);
  require_agreement(open_optional(directory / "processor_config.json"), "patch_size", patch, config.origin());
  ProcessorSpec spec{.tokenizer = open_tokenizer(directory)};
  spec.prompt = vicuna();
  spec.front = spec.tokenizer.encode_with_template("");
  spec.placeholder = "<image>";
  agreed_id(spec.tokenizer, spec.placeholder, config, "image_token_id");
  spec.layout = {.patch = patch};
  spec.normalization = normalization(pre, kClipNormalization);
  spec.tile = tiling(pre, side);
  spec.place = [rows = rows_of_a_picture(config, side, patch),
                id = agreed_id(spec.tokenizer, spec.placeholder, config, "image_token_index")](
                   const PlacedPicture& picture) {
    return PictureTokens{picture.text, {TokenIds(static_cast<std::size_t>(rows), id)}};
  };
  spec.stop_ids = stop_ids(directory, config, "text_config.eos_token_id", spec.tokenizer, {"</s>"});
  return make_processor(std::move(spec));
}

}  // namespace mquant
