#include "io/json_slices.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "io/json_text.h"
#include "mquant/error.h"

namespace mquant {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

}  // namespace

JsonSlices::JsonSlices(std::string_view text, std::string origin) : text_(text), origin_(std::move(origin)) {
  skip_blanks();
  is_object_ = take('{');
  if (!is_object_ && !take('[')) fail_expecting("an object or a list");
}

void JsonSlices::skip_blanks() {
  while (at_ < text_.size() && is_blank(text_[at_])) ++at_;
}

bool JsonSlices::take(char c) {
  const bool found = at_ < text_.size() && text_[at_] == c;
  at_ += found ? 1 : 0;
  return found;
}

void JsonSlices::fail_expecting(std::string_view what) const {
  fail(ErrorKind::input, origin_, ": expected ", what, " at byte ", std::min(at_, text_.size()),
       at_ < text_.size() ? "" : ", found the end");
}

void JsonSlices::skip_string() {
  for (++at_; at_ < text_.size() && text_[at_] != '"'; ++at_) at_ += text_[at_] == '\\' ? 1 : 0;
  if (!take('"')) fail_expecting("the end of a text");
}

std::string_view JsonSlices::take_value() {
  const std::size_t begin = at_;
  int depth = 0;
  while (at_ < text_.size()) {
    const char c = text_[at_];
    if (c == '"') {
      skip_string();
      continue;
    }
    const bool closes = c == '}' || c == ']';
    if (depth == 0 && (closes || c == ',' || is_blank(c))) break;
    depth += c == '{' || c == '[' ? 1 : closes ? -1 : 0;
    ++at_;
  }
  if (at_ == begin) fail_expecting("a value");
  return text_.substr(begin, at_ - begin);
}

bool JsonSlices::next() {
  const char end = is_object_ ? '}' : ']';
  skip_blanks();
  if (take(end)) {
    skip_blanks();
    if (at_ < text_.size())
      fail_expecting(is_object_ ? "nothing after the object" : "nothing after the list");
    return false;
  }
  if (begun_ && !take(',')) fail_expecting(cat("',' or '", std::string(1, end), "'"));
  begun_ = true;
  skip_blanks();
  if (is_object_) {
    if (at_ == text_.size() || text_[at_] != '"') fail_expecting("a key");
    const std::size_t begin = at_;
    skip_string();
    key_ = parse_json(text_.substr(begin, at_ - begin), origin_).get<std::string>();  // it may have escapes
    skip_blanks();
    if (!take(':')) fail_expecting("':' after a key");
    skip_blanks();
  }
  value_ = take_value();
  return true;
}

}  // namespace mquant
