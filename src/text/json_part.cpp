#include "text/json_part.h"

#include <nlohmann/json.hpp>

#include "mquant/error.h"
#include "support/strings.h"

namespace mquant {

bool JsonPart::is_null() const { return value_->is_null(); }
bool JsonPart::is_text() const { return value_->is_string(); }

std::string JsonPart::below(std::string_view key) const {
  // The first step goes behind the file's name.
  const bool in_file = where_.find(": ") == std::string::npos;
  return cat(where_, in_file ? ": " : ".", printable(key));
}

bool JsonPart::has(std::string_view key) const {
  if (!value_->is_object()) return false;
  const auto found = value_->find(key);
  return found != value_->end() && !found->is_null();
}

JsonPart JsonPart::at(std::string_view key) const {
  if (!value_->is_object()) fail_expecting("an object");
  const auto found = value_->find(key);
  if (found == value_->end()) {
    std::vector<std::string> keys;
    for (const auto& [name, unused] : value_->items()) keys.push_back(name);
    fail(ErrorKind::input, where_, ": no key '", key, "'", did_you_mean(key, keys));
  }
  return {*found, below(key)};
}

std::vector<JsonPart> JsonPart::items() const {
  if (!value_->is_array()) fail_expecting("a list");
  std::vector<JsonPart> parts;
  parts.reserve(value_->size());
  for (std::size_t i = 0; i < value_->size(); ++i) parts.emplace_back((*value_)[i], below(std::to_string(i)));
  return parts;
}

const std::string& JsonPart::text() const {
  if (!value_->is_string()) fail_expecting("a text");
  return value_->get_ref<const std::string&>();
}

std::int64_t JsonPart::integer() const {
  if (value_->is_number_unsigned() && value_->get<std::uint64_t>() > INT64_MAX)
    fail_expecting("a 64-bit integer");
  if (!value_->is_number_integer()) fail_expecting("an integer");
  return value_->get<std::int64_t>();
}

bool JsonPart::flag() const {
  if (!value_->is_boolean()) fail_expecting("true or false");
  return value_->get<bool>();
}

void JsonPart::fail_expecting(std::string_view what) const {
  fail(ErrorKind::input, where_, ": expected ", what, ", found ", describe(*value_));
}

void JsonPart::fail_unsupported(std::string_view what) const {
  fail(ErrorKind::unsupported, where_, ": ", what, " is not supported");
}

}  // namespace mquant
