// The processor of InternVL2 and 2.5 on InternLM2 (2B, 8B, 26B): pictures cut into square tiles by aspect ratio, a view
// of the whole last; the pictures of a turn stand before its text, numbered if there are several.
#include "families/chat_template.h"
#include "families/processor.h"
#include "families/processor_files.h"
#include "families/processors.h"
#include "mquant/error.h"

namespace mquant {
namespace {

/// The templates of conversation.py, which chat() uses; that of tokenizer_config.json differs.
PromptSpec prompt(const Config& config) {
  const std::string name = config.string_or("template", "internlm2-chat");
  const bool later = name == "internvl2_5";
  if (!later && name != "internlm2-chat")
    fail(ErrorKind::unsupported, config.origin(), ": 'template' is \"", name,
         "\"; known are \"internlm2-chat\" and \"internvl2_5\"");
  PromptSpec prompt = chat_ml(later ? "<|im_end|>\n" : "<|im_end|>");
  prompt.default_system =
      later ? "你是书生·万象，英文名是InternVL，"
              "是由上海人工智能实验室、清华大学及多家合作单位联合开发的多模态大语言模型。"
            : "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL, "
              "是一个有用无害的人工智能助手。";
  prompt.image_place = PromptSpec::ImagePlace::before_text;
  prompt.image = "<image>\n";
  prompt.images = "Image-{n}: <image>\n";
  return prompt;
}

Tokenizer open_internlm2_tokenizer(const std::filesystem::path& directory) {
  const Config names = open_tokenizer_config(directory);
  const bool bos = switch_or(names, "add_bos_token", true);
  return open_sentencepiece(
      directory / "tokenizer.model",
      {.added = read_added_tokens(directory), .bos = bos ? names.string_or("bos_token", "<s>") : ""});
}

/// dynamic_preprocess.
std::function<Tiling(const Image&)> tiling(const Config& config, std::int64_t side) {
  const bool cuts = config.boolean_or("dynamic_image_size", false);
  const CountRange tiles =
      cuts ? count_range(config, "min_dynamic_patch", "max_dynamic_patch", {.least = 1, .most = 6})
           : CountRange{};
  const Thumbnail thumbnail = config.boolean_or("use_thumbnail", false) ? Thumbnail::yes : Thumbnail::no;
  return [=](const Image& image) { return tile_by_aspect(image, side, tiles.least, tiles.most, thumbnail); };
}

}  // namespace

std::unique_ptr<Processor> make_internvl2_processor(const std::filesystem::path& directory,
                                                    const Config& config, const ChatTemplate& stated) {
  refuse_chat_template(stated);
  const std::int64_t side =
      square_side(config, config.has("force_image_size") ? "force_image_size" : "vision_config.image_size");
  const std::int64_t patch = config.positive("vision_config.patch_size");
  const std::int64_t across = rows_a_side(config, side, patch, joined_side(config, "downsample_ratio", 0.5));
  ProcessorSpec spec{.tokenizer = open_internlm2_tokenizer(directory)};
  spec.prompt = data_prompt(prompt(config));
  spec.front = front_ids(directory, spec.tokenizer);
  spec.shown_picture = ProcessorSpec::ShownPicture::expanded;
  spec.placeholder = "<IMG_CONTEXT>";
  spec.layout = {.patch = patch};
  spec.normalization = kImageNetNormalization;
  spec.tile = tiling(config, side);
  spec.place = [rows = across * across,
                id = spec.tokenizer.id_of(spec.placeholder)](const PlacedPicture& picture) {
    return PictureTokens{with(picture.text, "<image>", "<img><IMG_CONTEXT></img>"),
                         {TokenIds(picture.tiles.size() * static_cast<std::size_t>(rows), id)}};
  };
  spec.stop_ids = stop_ids(directory, config, "llm_config.eos_token_id", spec.tokenizer, {"<|im_end|>"});
  return make_processor(std::move(spec));
}

}  // namespace mquant
