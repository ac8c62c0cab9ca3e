// A template as tokens.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/value.h"

namespace mquant::jinja {

/// From 1; columns count bytes.
struct Position {
  int line = 1, column = 1;
};

/// "line 3, column 7"
std::string place(const Position& position);

struct Token {
  enum class Kind { data, print_begin, print_end, tag_begin, tag_end, name, text, number, sign, end };
  Kind kind = Kind::end;
  std::string text;  ///< the decoded text of a string; of a sign: "//"
  Value number;
  Position at;
};

/// With trim_blocks and lstrip_blocks, as transformers sets them; the last token is Kind::end.
/// @param source  valid UTF-8
/// @throws Error{input} for what Jinja refuses; Error{unsupported} for a kind of literal that is not known here
std::vector<Token> tokenize(std::string_view source);

}  // namespace mquant::jinja
