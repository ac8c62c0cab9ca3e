// The processor of CogVLM2: one stretched square a conversation, in front of all turns.  The rows go through the
// decoder's vision experts, but the learned one at their end, which the language experts take.
#include "families/chat_template.h"
#include "families/eva_processor.h"
#include "families/processor_files.h"
#include "families/processors.h"
#include "mquant/error.h"

namespace mquant {
namespace {

/// build_conversation_input_ids with the template "chat".
PromptSpec prompt(const std::string& placeholder, const std::string& eos) {
  PromptSpec prompt;
  prompt.most_images = 1;
  prompt.image = placeholder;
  prompt.after_answer = eos;
  prompt.system.allowed = false;
  prompt.user = {"Question: ", " Answer:"};
  prompt.assistant = {" ", "\n"};
  prompt.before_answer = " ";
  prompt.image_place = PromptSpec::ImagePlace::before_turns;
  return prompt;
}

}  // namespace

std::unique_ptr<Processor> make_cogvlm2_processor(const std::filesystem::path& directory,
                                                  const Config& config, const ChatTemplate& stated) {
  refuse_chat_template(stated);
  if (const std::string chat = config.string_or("template_version", "chat"); chat != "chat")
    fail(ErrorKind::unsupported, config.origin(), ": 'template_version' is \"", chat,
         "\"; known is \"chat\"");
  const Config names = open_tokenizer_config(directory);
  const std::int64_t bos = config.integer_or("bos_token_id", 128000);
  ProcessorSpec spec{.tokenizer = open_tokenizer(directory)};
  set_eva_picture(spec, config);
  spec.front = {bos};
  // The official code counts from <|begin_of_text|>; it has no name for the token.
  const std::int64_t row = bos + 2;
  spec.placeholder = spec.tokenizer.token_of(row);
  spec.prompt = data_prompt(prompt(spec.placeholder, names.string_or("eos_token", "<|end_of_text|>")));
  spec.placeholder_in_text = true;
  spec.text_rows = 1;
  spec.place = [ids = TokenIds(static_cast<std::size_t>(eva_rows(config)), row)](
                   const PlacedPicture& picture) { return PictureTokens{picture.text, {ids}}; };
  spec.stop_ids = stop_ids(directory, config, "eos_token_id", spec.tokenizer);
  return make_processor(std::move(spec));
}

}  // namespace mquant
