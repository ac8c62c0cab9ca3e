// Parts of a JSON text as they are written.  A parsed value loses the order of keys and the spelling of numbers, which
// a chat template shows to the model.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace mquant {

/// Walks the members of one object, or the items of one list.  Only their borders are looked for: what is between them
/// need not be JSON, so parse_json comes before or after.
class JsonSlices {
 public:
  /// @throws Error{input} beginning with `origin` if `text` is neither an object nor a list
  JsonSlices(std::string_view text, std::string origin);

  /// To the first member, then to the next; false at the end.
  /// @throws Error{input} for a member without a border, or text after the end
  bool next();
  const std::string& key() const { return key_; }  ///< "" in a list
  std::string_view value() const { return value_; }
  /// Where value() begins in the text.
  std::size_t offset() const { return static_cast<std::size_t>(value_.data() - text_.data()); }

 private:
  void skip_blanks();
  bool take(char c);
  std::string_view take_value();
  void skip_string();
  [[noreturn]] void fail_expecting(std::string_view what) const;

  std::string_view text_, value_;
  std::string origin_, key_;
  std::size_t at_ = 0;
  bool is_object_ = false, begun_ = false;
};

}  // namespace mquant
