// A part of a JSON file that remembers where it stands, for messages.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "io/json_text.h"

namespace mquant {

/// A view: the Json must outlive it.
class JsonPart {
 public:
  /// `where`: the file, then the path inside it: "tokenizer.json: pre_tokenizer.pretokenizers.0".
  JsonPart(const Json& value, std::string where) : value_(&value), where_(std::move(where)) {}

  const Json& value() const { return *value_; }
  const std::string& where() const { return where_; }

  bool is_null() const;
  bool is_text() const;
  /// Present and not null.
  bool has(std::string_view key) const;
  /// Throws Error{input} if this is no object or has no such key.
  JsonPart at(std::string_view key) const;
  /// The items of a list.  Throws Error{input} if this is none.
  std::vector<JsonPart> items() const;

  /// These throw Error{input} for another type.
  const std::string& text() const;
  std::int64_t integer() const;
  bool flag() const;
  /// For keys that files leave out.
  bool flag_or(std::string_view key, bool otherwise) const { return has(key) ? at(key).flag() : otherwise; }
  /// The key "type".
  const std::string& type() const { return at("type").text(); }

  /// "file: path: expected `what`, found ...".
  [[noreturn]] void fail_expecting(std::string_view what) const;
  /// Error{unsupported}: "file: path: `what` is not supported".
  [[noreturn]] void fail_unsupported(std::string_view what) const;

 private:
  std::string below(std::string_view key) const;
  const Json* value_;
  std::string where_;
};

}  // namespace mquant
