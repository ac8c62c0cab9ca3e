// The keys of a sample file, and what others call them.
#pragma once

#include <string>
#include <vector>

#include "text/json_part.h"

namespace mquant {

/// Of a sample.
const std::vector<std::string>& sample_keys();
/// Of a message, in the words of OpenAI, ShareGPT and Ollama.
const std::vector<std::string>& message_keys();

/// What a sample may say beside its content.  It is passed over.
const std::vector<std::string>& provenance_keys();

/// Nothing of a sample is lost because its key has another name.  A key whose value is null or an empty list
/// is absent.
/// @throws Error{input}        for another key than `known` and `harmless` ones, with the one that may be meant
///         Error{unsupported}  for sounds and videos
void check_keys(const JsonPart& object, const std::vector<std::string>& known,
                const std::vector<std::string>& harmless = {});

/// Present, not null and not an empty list.
bool has_some(const JsonPart& object, std::string_view key);

}  // namespace mquant
