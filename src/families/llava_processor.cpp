// The processor of LLaVA 1.5 (llava-hf): one tile a picture, the middle of it or all of it on a square, and a vicuna
// prompt with the pictures of a turn before its texts.
#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "families/chat_template.h"
#include "families/processor.h"
#include "families/processor_files.h"
#include "families/processors.h"
#include "io/json_text.h"
#include "mquant/error.h"

namespace mquant {
namespace {

/// What becomes of a picture before it is cut into patches.
struct Fitting {
  std::optional<std::array<std::uint8_t, 3>> margin;  ///< padded to a square of this colour first
  std::optional<std::int64_t> shorter;                ///< resized to this shorter side
  ImageSize size;                                     ///< else stretched to this
  std::optional<std::int64_t> crop;                   ///< the middle of what is left
  ResizeFilter kernel = ResizeFilter::bicubic;

  Tiling operator()(const Image& image) const {
    return margin ? fit(padded_to_square(image, *margin)) : fit(image);
  }

  /// After the margin.
  Tiling fit(const Image& image) const {
    Image fitted =
        resize(image, shorter ? short_side_size(size_of(image), *shorter) : size, {.filter = kernel});
    if (crop) fitted = center_crop(fitted, {*crop, *crop});
    Tiling tiling{.grid = {0, 0}, .tiles = {}};
    tiling.tiles.push_back(std::move(fitted));
    return tiling;
  }
};

std::string image_class(const Config& pre) { return pre.string_or("image_processor_type", ""); }
bool is_siglip(const Config& pre) { return image_class(pre).starts_with("Siglip"); }

/// `size` is a shorter side, or a height and a width, in which case the aspect ratio is not kept.
void read_size(const Config& pre, Fitting& fitting) {
  const bool is_object = pre.raw("size").starts_with('{');
  for (const std::string& key : is_object ? pre.keys("size") : std::vector<std::string>())
    if (key != "height" && key != "width" && key != "shortest_edge" && pre.has("size." + key))
      fail(ErrorKind::unsupported, pre.origin(), ": 'size.", printable(key),
           "' is not known for this family");
  if (pre.has("size.height") || pre.has("size.0") ||
      (!is_object && switch_or(pre, "default_to_square", false))) {
    const std::int64_t side = is_object ? 0 : square_side(pre, "size");
    fitting.size = is_object ? ImageSize{pre.positive("size.width"), pre.positive("size.height")}
                             : ImageSize{side, side};
  } else {
    fitting.shorter = square_side(pre, is_object ? "size.shortest_edge" : "size");
  }
}

/// CLIP's image processor; LLaVA's, which may pad to a square; SigLIP's, which does not crop unless told to.
Fitting fitting(const Config& pre, const Normalization& normalization) {
  Fitting fitting{.kernel = filter(pre, ResizeFilter::bicubic)};
  read_size(pre, fitting);
  if (switch_or(pre, "do_center_crop", !is_siglip(pre)) && pre.has("crop_size"))
    fitting.crop = square_side(pre, "crop_size");
  if (switch_or(pre, "do_pad", false) && image_class(pre).starts_with("Llava")) {
    fitting.margin.emplace();
    for (std::size_t c = 0; c < 3; ++c)
      (*fitting.margin)[c] = static_cast<std::uint8_t>(std::clamp(normalization.mean[c], 0.0, 1.0) * 255);
  } else if (switch_or(pre, "do_pad", false) && pre.has("pad_size")) {
    fail(ErrorKind::unsupported, pre.origin(), ": 'pad_size' is not known for this family");
  }
  return fitting;
}

/// The side of the tower's square picture, on which config.json and the image processor must agree.
std::int64_t tile_side(const Fitting& fitting, const Config& pre, const Config& config) {
  const bool square = fitting.crop || (fitting.margin && fitting.shorter) ||
                      (!fitting.shorter && fitting.size.width == fitting.size.height);
  if (!square)
    fail(ErrorKind::unsupported, pre.origin(),
         ": expected square pictures: 'size' of one height and width, or a crop");
  const std::int64_t side = fitting.crop.value_or(fitting.shorter.value_or(fitting.size.width));
  require_agreement(config, "vision_config.image_size", side, pre.origin());
  return side;
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

/// One placeholder a patch: the class token is one more, and the strategy takes one away.
void check_processor_config(const std::filesystem::path& directory, std::int64_t patch,
                            const Config& config) {
  const Config processor = open_processor_config(directory, {"image_token", "num_additional_image_tokens",
                                                             "patch_size", "vision_feature_select_strategy"});
  require_agreement(processor, "patch_size", patch, config.origin());
  require_agreement(processor, "num_additional_image_tokens", 1, "the class token of the tower");
  for (const auto& [key, value] :
       {std::pair("image_token", "<image>"), std::pair("vision_feature_select_strategy", "default")})
    if (const std::string found = processor.string_or(key, value); found != value)
      fail(ErrorKind::unsupported, processor.origin(), ": '", key, "' is \"", printable(found),
           "\"; known is \"", value, "\"");
}

}  // namespace

std::unique_ptr<Processor> make_llava_processor(const std::filesystem::path& directory, const Config& config,
                                                const ChatTemplate& stated) {
  const Config pre = open_preprocessor(
      directory,
      {.types = {"CLIPImageProcessor", "LlavaImageProcessor", "SiglipImageProcessor"}, .keys = {}});
  const Normalization normal = normalization(pre, is_siglip(pre) ? kHalfNormalization : kClipNormalization);
  const Fitting fit = fitting(pre, normal);
  const std::int64_t side = tile_side(fit, pre, config);
  const std::int64_t patch = config.positive_or("vision_config.patch_size", 14);
  check_processor_config(directory, patch, config);
  ProcessorSpec spec{.tokenizer = open_tokenizer(directory)};
  spec.placeholder = "<image>";
  agreed_id(spec.tokenizer, spec.placeholder, config, "image_token_id");
  spec.layout = {.patch = patch};
  spec.normalization = normal;
  spec.tile = fit;
  spec.place = [rows = rows_of_a_picture(config, side, patch),
                id = agreed_id(spec.tokenizer, spec.placeholder, config, "image_token_index")](
                   const PlacedPicture& picture) {
    return PictureTokens{picture.text, {TokenIds(static_cast<std::size_t>(rows), id)}};
  };
  spec.stop_ids = stop_ids(directory, config, "text_config.eos_token_id", spec.tokenizer, {"</s>"});
  use_chat_template(spec, directory, stated, {.picture = spec.placeholder});
  return make_processor(std::move(spec));
}

}  // namespace mquant
