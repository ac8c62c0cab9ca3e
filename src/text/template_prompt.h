// Prompts that a checkpoint's chat template renders.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "mquant/chat_template.h"
#include "text/prompt.h"
#include "text/template_files.h"

namespace mquant {

/// How a family's official processor hands messages to the template, and what it makes of the text.
struct TemplateUse {
  std::string picture;  ///< what a template writes for a picture, and the processor replaces
  /// Messages are texts, pictures and texts of one joined by line feeds, and an empty system message is none,
  /// as MiniCPM-V's chat() calls its template; else lists of parts, or texts where the template drops or
  /// refuses lists.
  bool as_text = false;
  std::vector<std::string> reserved;  ///< more texts that only pictures may bring into a prompt
  std::vector<std::string> ends;      ///< of an answer; the first is taken where the template writes none
};

/// Prompts by the template of `stated`, else of `directory` (template_files.h), which reads `tokens`.  An answer
/// is what the template writes where it is given as a message, up to the token that ends it.
/// @throws Error as open_chat_template does
///
/// Its pieces are markup and pictures.  They throw Error{input} for what the template refuses, tools, messages
/// of tools and other fields that it does not read, a text that it leaves out, pictures that it does not write,
/// and a reserved text in a message.
std::shared_ptr<const Prompt> template_prompt(const std::filesystem::path& directory,
                                              const ChatTemplate& stated, const SpecialTokens& tokens,
                                              TemplateUse use);

}  // namespace mquant
