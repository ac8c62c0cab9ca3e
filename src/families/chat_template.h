// Prompts of families whose releases have a chat template.
#pragma once

#include <filesystem>
#include <string>

#include "families/processor.h"
#include "text/template_prompt.h"

namespace mquant {

/// Sets `prompt`, `bos` and, unless it is set, `front` of `spec`, which has its tokenizer, placeholder, reserved texts and
/// stop ids already.
/// Throws as template_prompt does.
void use_chat_template(ProcessorSpec& spec, const std::filesystem::path& directory, TemplateUse use);

}  // namespace mquant
