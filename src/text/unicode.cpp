#include "text/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "mquant/error.h"

namespace mquant {
namespace {

constexpr int kLongestMarkRun = 4096;

utf8proc_category_t category(char32_t c) { return utf8proc_category(static_cast<utf8proc_int32_t>(c)); }

/// Other_Alphabetic outside of the categories L, M and Nl: circled and squared Latin letters.
bool is_enclosed_letter(char32_t c) {
  return (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) || (c >= 0x1F150 && c <= 0x1F169) ||
         (c >= 0x1F170 && c <= 0x1F189);
}

/// The library sorts marks by exchanging neighbours.
void check_mark_runs(std::string_view text) {
  int run = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    const auto c = static_cast<utf8proc_int32_t>(next_character(text, at));
    run = c >= 0x300 && utf8proc_get_property(c)->combining_class != 0 ? run + 1 : 0;
    if (run > kLongestMarkRun) {
      fail(ErrorKind::input, "text: more than ", kLongestMarkRun, " combining marks in a row before byte ",
           begin, "; this is no text");
    }
  }
}

/// Nothing below U+0300 changes under NFC; below U+00A0 under no form.
bool is_normalized_already(std::string_view text, NormalForm form) {
  const unsigned char limit = form == NormalForm::nfc ? 0xCC : 0x80;  // U+0300 is CC 80
  return std::all_of(text.begin(), text.end(), [&](char c) { return static_cast<unsigned char>(c) < limit; });
}

}  // namespace

std::string replace_invalid_utf8(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  for (std::size_t at = 0; at < bytes.size();) {
    const Utf8Sequence sequence = utf8_sequence(bytes, at);
    text += sequence.valid ? bytes.substr(at, sequence.length) : std::string_view("\xEF\xBF\xBD");
    at += sequence.length;
  }
  return text;
}

std::size_t character_length(char first_byte) {
  const auto first = static_cast<unsigned char>(first_byte);
  return first < 0xC2 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
}

char32_t next_character(std::string_view text, std::size_t& at) {
  const std::size_t length = std::min(character_length(text[at]), text.size() - at);
  char32_t c = static_cast<unsigned char>(text[at]);
  if (length > 1) c &= 0xFFU >> (length + 1);
  for (std::size_t i = 1; i < length; ++i) c = (c << 6) | (static_cast<unsigned char>(text[at + i]) & 0x3FU);
  at += length;
  return c;
}

char32_t last_character(std::string_view text, std::size_t& begin) {
  begin = text.size() - 1;
  while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
  std::size_t at = begin;
  return next_character(text, at);
}

bool is_white_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

bool is_python_space(char32_t c) { return is_white_space(c) || (c >= 0x1C && c <= 0x1F); }

bool is_numeric(char32_t c) {
  const auto kind = category(c);
  return kind == UTF8PROC_CATEGORY_ND || kind == UTF8PROC_CATEGORY_NL || kind == UTF8PROC_CATEGORY_NO;
}

bool is_word_character(char32_t c) {
  switch (category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC: return true;
    default: return c == 0x200C || c == 0x200D || is_enclosed_letter(c);
  }
}

std::string_view strip(std::string_view text) {
  std::size_t begin = text.size(), end = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t start = at;
    if (is_python_space(next_character(text, at))) continue;
    begin = std::min(begin, start);
    end = at;
  }
  return begin < end ? text.substr(begin, end - begin) : std::string_view();
}

std::string normalized(std::string_view text, NormalForm form) {
  if (is_normalized_already(text, form)) return std::string(text);
  check_mark_runs(text);
  int options = UTF8PROC_STABLE;
  options |= form == NormalForm::nfc || form == NormalForm::nfkc ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE;
  if (form == NormalForm::nfkc || form == NormalForm::nfkd) options |= UTF8PROC_COMPAT;
  utf8proc_uint8_t* buffer = nullptr;
  const auto length = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                   static_cast<utf8proc_ssize_t>(text.size()), &buffer,
                                   static_cast<utf8proc_option_t>(options));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(buffer, &std::free);
  if (length == UTF8PROC_ERROR_NOMEM)
    fail(ErrorKind::resources, "text: no memory to normalize ", text.size(), " bytes");
  if (length < 0) fail(ErrorKind::internal, "text: cannot be normalized: ", utf8proc_errmsg(length));
  return {reinterpret_cast<const char*>(buffer), static_cast<std::size_t>(length)};
}

}  // namespace mquant
