// The processor of Qwen-VL and Qwen-VL-Chat: one stretched square a picture, always 256 rows, among which the prompt
// spells the picture's path in bytes.
#include <utility>

#include "families/chat_template.h"
#include "families/processor.h"
#include "families/processor_files.h"
#include "families/processors.h"
#include "io/json_text.h"
#include "mquant/error.h"
#include "text/unicode.h"

namespace mquant {
namespace {

constexpr std::int64_t kRows = 256;  // tokenization_qwen.py: IMG_TOKEN_SPAN

/// Of qwen.tiktoken.  Source: PAT_STR of tokenization_qwen.py.
constexpr const char* kWords =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

/// QWenTokenizer's arguments, which its own tokenizer_config.json leaves out.
void require_own_tags(const Config& names) {
  for (const auto& [key, tag] : {std::pair("image_start_tag", "<img>"), std::pair("image_end_tag", "</img>"),
                                 std::pair("image_pad_tag", "<imgpad>"), std::pair("ref_start_tag", "<ref>"),
                                 std::pair("ref_end_tag", "</ref>"), std::pair("box_start_tag", "<box>"),
                                 std::pair("box_end_tag", "</box>"), std::pair("quad_start_tag", "<quad>"),
                                 std::pair("quad_end_tag", "</quad>")})
    if (const std::string found = names.raw(key); !found.empty() && found != cat("\"", tag, "\""))
      fail(ErrorKind::unsupported, names.origin(), ": '", key, "' is ", printable(found), "; known is \"",
           tag, "\"");
}

/// IMAGE_ST: what is recognised in texts of users too.
const std::vector<std::string>& picture_tokens() {
  static const std::vector<std::string> tokens = {"<ref>",   "</ref>", "<box>",  "</box>",  "<quad>",
                                                  "</quad>", "<img>",  "</img>", "<imgpad>"};
  return tokens;
}

Tokenizer open_qwen_tokenizer(const std::filesystem::path& directory) {
  TiktokenOptions options{.pattern = kWords, .nfc = true};
  options.following = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
  for (int i = 0; i < 205; ++i) options.following.push_back(cat("<|extra_", i, "|>"));
  options.following.insert(options.following.end(), picture_tokens().begin(), picture_tokens().end());
  return open_tiktoken(directory / "qwen.tiktoken", options);
}

PromptSpec prompt() {
  PromptSpec prompt = chat_ml("<|im_end|>");
  prompt.between_turns = "\n";
  prompt.default_system = "You are a helpful assistant.";
  prompt.image = "Picture {n}: <img>{path}</img>\n";
  return prompt;
}

/// The path's bytes as ids, filled up.  The model of the release reads the path from there, up to the first padding.
TokenIds path_ids(const std::string& path, std::int64_t padding) {
  if (path.empty())
    fail(ErrorKind::input,
         "this model's prompt spells the path of a picture, and that of a data: URI has none; write it to a "
         "file");
  if (first_invalid_utf8(path) != std::string::npos)
    fail(ErrorKind::input, "the path of a picture is no UTF-8; rename the file");
  TokenIds ids;
  for (const char byte : normalized(path, NormalForm::nfc)) ids.push_back(static_cast<unsigned char>(byte));
  if (std::ssize(ids) >= kRows)
    fail(ErrorKind::input, path, ": a path of ", ids.size(),
         " bytes stands in the prompt of this model: ", "expected fewer than ", kRows,
         "; give a shorter one, relative to the samples");
  ids.resize(kRows, padding);
  return ids;
}

}  // namespace

std::unique_ptr<Processor> make_qwen_vl_processor(const std::filesystem::path& directory,
                                                  const Config& config, const ChatTemplate& stated) {
  refuse_chat_template(stated);
  const std::int64_t side = square_side(config, "visual.image_size");
  const std::int64_t patch = config.positive("visual.patch_size");
  rows_a_side(config, side, patch);  // checks them
  require_agreement(config, "visual.n_queries", kRows, "the prompt");
  require_own_tags(open_tokenizer_config(directory));
  ProcessorSpec spec{.tokenizer = open_qwen_tokenizer(directory)};
  agreed_id(spec.tokenizer, "<img>", config, "visual.image_start_id");
  spec.prompt = data_prompt(prompt());
  spec.tokenized = ProcessorSpec::Tokenized::content_apart;
  spec.content_tokens = picture_tokens();
  spec.placeholder = "<imgpad>";
  spec.reserved = {"<img>", "</img>"};
  spec.layout = {.patch = patch};
  spec.normalization = kClipNormalization;
  spec.apply_orientation = false;  // Image.open(path).convert("RGB") in visual.py of the release
  spec.tile = [side](const Image& image) { return stretched(image, side, ResizeFilter::bicubic); };
  spec.place = [padding = spec.tokenizer.id_of(spec.placeholder)](const PlacedPicture& picture) {
    return PictureTokens{with(picture.text, "<img>" + picture.path + "</img>", "<img><imgpad></img>"),
                         {path_ids(picture.path, padding)}};
  };
  spec.stop_ids = stop_ids(directory, config, "eos_token_id", spec.tokenizer, {"<|im_end|>", "<|im_start|>"});
  return make_processor(std::move(spec));
}

}  // namespace mquant
