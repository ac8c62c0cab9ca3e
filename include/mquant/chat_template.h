// What the user states of the prompt: a chat template in place of the checkpoint's own, and a date.
#pragma once

#include <filesystem>
#include <string>

namespace mquant {

struct ChatTemplate {
  std::string text;    ///< "": none is stated, the checkpoint's own counts
  std::string origin;  ///< what messages call it
  std::string date =
      {};  ///< what templates print as today's, YYYY-MM-DD; "": none, and a template that asks is refused

  bool is_stated() const { return !text.empty() || !date.empty(); }
  /// What is stated here; else what `otherwise` states.
  ChatTemplate over(ChatTemplate otherwise) const;
};

/// The text of `file` or, of a chat_template.json, the default in it; "": none.  With `date`.
/// @throws Error{input} if it cannot be read, is empty, too large for a template or not UTF-8
///         Error{usage} for a date that no calendar has
ChatTemplate read_chat_template(const std::filesystem::path& file, const std::string& date);

}  // namespace mquant
