// Prompts of families whose releases have a chat template.
#pragma once

#include <filesystem>
#include <string>

#include "families/processor.h"
#include "mquant/chat_template.h"
#include "text/template_prompt.h"

namespace mquant {

/// Sets `prompt`, `bos` and `front` of `spec`, which has its tokenizer, placeholder, reserved texts
/// and stop ids already.  The template is the one of `stated`, else that of `directory`.
/// Throws as template_prompt and front_ids do.
void use_chat_template(ProcessorSpec& spec, const std::filesystem::path& directory,
                       const ChatTemplate& stated, TemplateUse use);

/// @throws Error{unsupported} if a template is stated for a family whose prompts are written by code
void refuse_chat_template(const ChatTemplate& stated);

}  // namespace mquant
