#include "families/chat_template.h"

#include <algorithm>
#include <utility>

#include "families/processor_files.h"
#include "mquant/error.h"
#include "support/strings.h"
#include "text/template_files.h"

namespace mquant {
namespace {

/// Texts of the stop tokens, the tokenizer's own first.
std::vector<std::string> ends_of_answers(const ProcessorSpec& spec, const std::filesystem::path& directory,
                                         const std::string& own) {
  std::vector<std::string> ends;
  for (const std::int64_t id : spec.stop_ids)
    if (std::string text = spec.tokenizer.token_of(id); !text.empty()) ends.push_back(std::move(text));
  if (ends.empty())
    fail(ErrorKind::input, (directory / "generation_config.json").string(),
         ": no token ends an answer: expected an 'eos_token_id' that the tokenizer has, here or in "
         "config.json, found ",
         spec.stop_ids.empty() ? "none" : shape_text(spec.stop_ids));
  std::ranges::stable_partition(ends, [&](const std::string& end) { return end == own; });
  return ends;
}

/// "" if there is none.
std::string text_of(const SpecialTokens& tokens, const std::string& name) {
  const auto found = tokens.find(name);
  return found == tokens.end() ? "" : found->second;
}

}  // namespace

void use_chat_template(ProcessorSpec& spec, const std::filesystem::path& directory,
                       const ChatTemplate& stated, TemplateUse use) {
  spec.front = front_ids(directory, spec.tokenizer);
  const SpecialTokens tokens = special_tokens(directory);
  spec.bos = text_of(tokens, "bos_token");
  use.reserved = spec.reserved;
  use.reserved.push_back(spec.placeholder);
  use.ends = ends_of_answers(spec, directory, text_of(tokens, "eos_token"));
  spec.prompt = template_prompt(directory, stated, tokens, std::move(use));
}

void refuse_chat_template(const ChatTemplate& stated) {
  if (!stated.text.empty())
    fail(ErrorKind::unsupported, stated.origin,
         ": the prompts of this family are written by its release's code, not by a chat template; leave out "
         "--chat-template");
}

}  // namespace mquant
