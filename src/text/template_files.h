// Where a checkpoint keeps its chat template, and the variables that the template reads.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "mquant/chat_template.h"
#include "text/jinja/template.h"

namespace mquant {

/// The template of `stated`, else the one that the official loader takes: "chat_template" of
/// processor_config.json, else chat_template.json, chat_template.jinja, "chat_template" of
/// tokenizer_config.json; of several, the one named "default".
///  Source: ProcessorMixin.get_processor_dict of transformers 5.24.
/// @throws Error{input}        for a broken file or template, or files that contradict each other
///         Error{unsupported}  without a template, or for one that uses what is not known here
jinja::Template open_chat_template(const std::filesystem::path& directory, const ChatTemplate& stated);

/// Texts by name: bos_token, eos_token, image_token, ...
using SpecialTokens = std::map<std::string, std::string>;
/// Those of tokenizer_config.json and, where that does not list its added tokens, of special_tokens_map.json, as
/// transformers passes them to a template.
SpecialTokens special_tokens(const std::filesystem::path& directory);

}  // namespace mquant
