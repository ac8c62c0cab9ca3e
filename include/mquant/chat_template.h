// A chat template that the user states in place of the checkpoint's own.
#pragma once

#include <filesystem>
#include <string>

namespace mquant {

struct ChatTemplate {
  std::string text;    ///< "": none is stated, the checkpoint's own counts
  std::string origin;  ///< what messages call it
};

/// The text of `file` or, of a chat_template.json, the default in it; "": none.
/// @throws Error{input} if it cannot be read, is empty, too large for a template or not UTF-8
ChatTemplate read_chat_template(const std::filesystem::path& file);

}  // namespace mquant
