// What Python's str does, on UTF-8: positions count characters.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mquant::jinja {

std::int64_t length(std::string_view text);
/// Characters [begin, end).
std::string_view substring(std::string_view text, std::int64_t begin, std::int64_t end);

bool is_printable(char32_t c);
/// "\\x1b", "\\u200b", "\\U0001f600".
std::string python_escape(char32_t c);
void append_utf8(char32_t c, std::string& text);
/// repr() of a text.
std::string quoted_text(std::string_view text);
/// The shortest decimal that reads back as the same number, as Python writes it.
std::string float_repr(double value);

/// Case by Unicode's one-to-one mappings.
/// @throws Error{unsupported} for a character whose mapping is longer or depends on its neighbours
std::string upper(std::string_view text);
std::string lower(std::string_view text);
/// The first character upper, the rest lower.
std::string capitalize(std::string_view text);
/// str.title(): a word begins at a letter after none.
std::string title(std::string_view text);
/// The filter of Jinja: a word begins after white space and -({[<.
std::string title_of_words(std::string_view text);
/// All letters are lower (upper), and there is one.
bool is_lower(std::string_view text);
bool is_upper(std::string_view text);

/// Where `part` is first in text[from, end), or last in `text`; npos if nowhere.  In linear time, whatever the texts.
std::size_t find_first(std::string_view text, std::string_view part, std::size_t from = 0);
std::size_t find_last(std::string_view text, std::string_view part);

enum class Ends { both, left, right };
/// Without the characters of `chars` at its ends; none given: without white space.
std::string_view stripped(std::string_view text, Ends ends,
                          const std::optional<std::string>& chars = std::nullopt);

/// str.split and str.rsplit; no separator: at runs of white space.  most < 0: any number of splits.
/// @throws Error{input} for an empty separator, or more than kHeaviestValue parts
std::vector<std::string> split(std::string_view text, const std::optional<std::string>& separator,
                               std::int64_t most, bool from_right);
/// At every line end that Python knows, without the ends.  Throws Error{input} beyond kHeaviestValue lines.
std::vector<std::string> split_lines(std::string_view text);
/// most < 0: all.  Throws Error{input} for a result that is too long.
std::string replaced(std::string_view text, std::string_view old, std::string_view with, std::int64_t most);

}  // namespace mquant::jinja
