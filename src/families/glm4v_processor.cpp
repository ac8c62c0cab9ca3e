// The processor of GLM-4V-9B: one stretched square a conversation, in front of its message's text; what users wrote is
// tokenized on its own, without special tokens.
#include "families/chat_template.h"
#include "families/eva_processor.h"
#include "families/processor_files.h"
#include "families/processors.h"
#include "io/json_text.h"
#include "mquant/error.h"

namespace mquant {
namespace {

/// Source: tokenization_chatglm.py.
constexpr const char* kWords =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

/// Special tokens are those that tokenizer_config.json adds to the rank file.
Tokenizer open_glm_tokenizer(const std::filesystem::path& directory) {
  TiktokenOptions options{.pattern = kWords};
  for (const AddedToken& token : read_added_tokens(directory)) {
    if (token.id == kIdByContent)
      fail(ErrorKind::input, directory.string(), ": the special token '", printable(token.content),
           "' has no id; expected it in added_tokens_decoder of tokenizer_config.json");
    options.special_tokens.emplace_back(token.content, token.id);
  }
  return open_tiktoken(directory / "tokenizer.model", options);
}

/// A turn has no end of its own: the next one's role ends it, and the user's ends an answer.
PromptSpec prompt() {
  PromptSpec prompt;
  prompt.begin = "[gMASK]<sop>";
  prompt.system = {"<|system|>\n", ""};
  prompt.user = {"<|user|>\n", ""};
  prompt.assistant = {"<|assistant|>\n", ""};
  prompt.generation = "<|assistant|>";
  prompt.before_answer = "\n";
  prompt.after_answer = "<|user|>";
  prompt.image_place = PromptSpec::ImagePlace::before_text;
  prompt.image = "<|endoftext|>";
  prompt.most_images = 1;
  return prompt;
}

/// The learned rows at both ends have tokens of their own.
TokenIds run(const Tokenizer& tokenizer, const Config& config) {
  TokenIds ids(static_cast<std::size_t>(eva_rows(config)), tokenizer.id_of("<|endoftext|>"));
  ids.front() = agreed_id(tokenizer, "<|begin_of_image|>", config, "boi_token_id");
  ids.back() = agreed_id(tokenizer, "<|end_of_image|>", config, "eoi_token_id");
  return ids;
}

}  // namespace

std::unique_ptr<Processor> make_glm4v_processor(const std::filesystem::path& directory, const Config& config,
                                                const ChatTemplate& stated) {
  refuse_chat_template(stated);
  const Config names = Config::open(directory / "tokenizer_config.json");
  require_switch(names, "split_special_tokens", false);
  ProcessorSpec spec{.tokenizer = open_glm_tokenizer(directory)};
  spec.prompt = data_prompt(prompt());
  spec.tokenized = ProcessorSpec::Tokenized::each_piece_apart;
  set_eva_picture(spec, config);
  require_agreement(names, "image_size", square_side(config, "vision_config.image_size"), config.origin());
  spec.placeholder = "<|endoftext|>";
  spec.place = [ids = run(spec.tokenizer, config)](const PlacedPicture& picture) {
    return PictureTokens{picture.text, {ids}};
  };
  spec.stop_ids = stop_ids(directory, config, "eos_token_id", spec.tokenizer);
  return make_processor(std::move(spec));
}

}  // namespace mquant
