// UTF-8 and Unicode properties, as the tokenizers of HuggingFace (Rust) and Python see them.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "support/utf8.h"

namespace mquant {

/// Each ill-formed sequence (maximal subpart) becomes one U+FFFD: Python's errors="replace", Rust's from_utf8_lossy.
std::string replace_invalid_utf8(std::string_view bytes);

/// The character of valid UTF-8 that begins at text[at]; moves `at` behind it.
char32_t next_character(std::string_view text, std::size_t& at);

/// The last character of valid UTF-8 that is not empty, and where it begins.
char32_t last_character(std::string_view text, std::size_t& begin);

/// Length in bytes of the character that begins with this byte; 1 for a byte that begins none.
std::size_t character_length(char first_byte);

/// The property White_Space: what `\s` matches, and Rust's char::is_whitespace.
bool is_white_space(char32_t c);
/// What Python's str.strip() takes away: White_Space and the separators U+001C..U+001F.
bool is_python_space(char32_t c);
/// Categories Nd, Nl, No: Rust's char::is_numeric.
bool is_numeric(char32_t c);
/// What `\w` of Rust's regex matches: Alphabetic, M, Nd, Pc, Join_Control.
bool is_word_character(char32_t c);

/// Without the Python spaces at both ends.
std::string_view strip(std::string_view text);

enum class NormalForm { nfc, nfd, nfkc, nfkd };

/// By the library's version of Unicode.  The tokenizers library orders marks by Unicode 9: runs that hold younger ones,
/// such as U+09FE, may come out in another order there.
///
/// @param text  valid UTF-8
/// @throws Error{input} for a run of more than 4096 combining marks: ordering them takes quadratic time.
std::string normalized(std::string_view text, NormalForm form);

}  // namespace mquant
