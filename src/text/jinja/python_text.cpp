#include "text/jinja/python_text.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <set>
#include <utility>

#include "mquant/error.h"
#include "text/jinja/value.h"
#include "text/unicode.h"

namespace mquant::jinja {
namespace {

constexpr char32_t kSigma = 0x3A3, kDottedI = 0x130;

/// Characters that SpecialCasing.txt maps to several, or to one of several by their neighbours.
bool has_special_upper(char32_t c) {
  constexpr std::array<char32_t, 6> kAlone = {0xDF, 0x149, 0x1F0, 0x390, 0x3B0, 0x587};
  return std::ranges::find(kAlone, c) != kAlone.end() || (c >= 0x1E96 && c <= 0x1E9A) ||
         (c >= 0x1F50 && c <= 0x1FFC) || (c >= 0xFB00 && c <= 0xFB17);
}

char32_t upper(char32_t c) {
  if (has_special_upper(c))
    fail(ErrorKind::unsupported, "the upper case of '", python_escape(c), "' is not supported");
  return static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c)));
}

char32_t title(char32_t c) {
  upper(c);  // refuses what it does
  return static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(c)));
}

char32_t lower(char32_t c) {
  if (c == kSigma || c == kDottedI)
    fail(ErrorKind::unsupported, "the lower case of '", python_escape(c), "' is not supported");
  return static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
}

/// Each character by `map(character, index)`.
template <class Map>
std::string mapped(std::string_view text, Map&& map) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) append_utf8(map(next_character(text, at)), out);
  return out;
}

bool is_lower(char32_t c) { return utf8proc_islower(static_cast<utf8proc_int32_t>(c)) != 0; }
bool is_upper(char32_t c) { return utf8proc_isupper(static_cast<utf8proc_int32_t>(c)) != 0; }

bool has_case(char32_t c) {
  return is_lower(c) || is_upper(c) ||
         utf8proc_category(static_cast<utf8proc_int32_t>(c)) == UTF8PROC_CATEGORY_LT;
}

template <class Has, class HasNot>
bool all_cased(std::string_view text, Has&& has, HasNot&& has_not) {
  bool any = false;
  for (std::size_t at = 0; at < text.size();) {
    const char32_t c = next_character(text, at);
    if (has_not(c)) return false;
    any = any || has(c);
  }
  return any;
}

void add_part(std::vector<std::string>& parts, std::string_view part) {
  if (parts.size() >= kHeaviestValue)
    fail(ErrorKind::input, "a text in more than ", kHeaviestValue, " parts");
  parts.emplace_back(part);
}

std::string reversed(std::string_view bytes) { return {bytes.rbegin(), bytes.rend()}; }

std::vector<std::string> split_at_space(std::string_view text, std::int64_t most, bool from_right) {
  std::vector<std::string> parts;
  text = stripped(text, from_right ? Ends::right : Ends::left);
  while (!text.empty()) {
    if (most >= 0 && std::ssize(parts) == most) {
      add_part(parts, text);
      break;
    }
    if (from_right) {
      std::size_t begin = text.size();
      for (std::size_t at = 0; begin > 0; begin = at)
        if (is_python_space(last_character(text.substr(0, begin), at))) break;
      add_part(parts, text.substr(begin));
      text = stripped(text.substr(0, begin), Ends::right);
    } else {
      std::size_t end = 0;
      for (std::size_t at = 0; end < text.size(); end = at)
        if (is_python_space(next_character(text, at))) break;
      add_part(parts, text.substr(0, end));
      text = stripped(text.substr(end), Ends::left);
    }
  }
  if (from_right) std::ranges::reverse(parts);
  return parts;
}

}  // namespace

std::int64_t length(std::string_view text) {
  return std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

std::string_view substring(std::string_view text, std::int64_t begin, std::int64_t end) {
  std::size_t first = 0;
  std::int64_t count = 0;
  for (; count < begin && first < text.size(); ++count) first += character_length(text[first]);
  std::size_t last = first;
  for (; count < end && last < text.size(); ++count) last += character_length(text[last]);
  return text.substr(std::min(first, text.size()), last - first);
}

bool is_printable(char32_t c) {
  if (c == ' ') return true;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS: return false;
    default: return true;
  }
}

std::string python_escape(char32_t c) {
  std::array<char, 16> out{};
  const char* format = c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x";
  std::snprintf(out.data(), out.size(), format, static_cast<unsigned>(c));
  return out.data();
}

void append_utf8(char32_t c, std::string& text) {
  std::array<utf8proc_uint8_t, 4> bytes{};
  const auto size = utf8proc_encode_char(static_cast<utf8proc_int32_t>(c), bytes.data());
  text.append(reinterpret_cast<const char*>(bytes.data()), static_cast<std::size_t>(size));
}

std::string upper(std::string_view text) {
  return mapped(text, [](char32_t c) { return upper(c); });
}

std::string lower(std::string_view text) {
  return mapped(text, [](char32_t c) { return lower(c); });
}

std::string capitalize(std::string_view text) {
  return mapped(
      text, [first = true](char32_t c) mutable { return std::exchange(first, false) ? title(c) : lower(c); });
}

std::string title(std::string_view text) {
  return mapped(text, [in_word = false](char32_t c) mutable {
    return std::exchange(in_word, has_case(c)) ? lower(c) : title(c);
  });
}

std::string title_of_words(std::string_view text) {
  return mapped(text, [first = true](char32_t c) mutable {
    const bool separates = is_python_space(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
    return std::exchange(first, separates) ? upper(c) : lower(c);
  });
}

bool is_lower(std::string_view text) {
  return all_cased(
      text, [](char32_t c) { return is_lower(c); }, [](char32_t c) { return has_case(c) && !is_lower(c); });
}

bool is_upper(std::string_view text) {
  return all_cased(
      text, [](char32_t c) { return is_upper(c); }, [](char32_t c) { return has_case(c) && !is_upper(c); });
}

std::size_t find_first(std::string_view text, std::string_view part, std::size_t from) {
  if (from > text.size()) return text.npos;
  if (part.empty()) return from;
  const void* found = memmem(text.data() + from, text.size() - from, part.data(), part.size());
  return found ? static_cast<std::size_t>(static_cast<const char*>(found) - text.data()) : text.npos;
}

std::size_t find_last(std::string_view text, std::string_view part) {
  const std::size_t found = find_first(reversed(text), reversed(part));
  return found == text.npos ? found : text.size() - part.size() - found;
}

std::string_view stripped(std::string_view text, Ends ends, const std::optional<std::string>& chars) {
  std::set<char32_t> given;
  if (chars)
    for (std::size_t at = 0; at < chars->size();) given.insert(next_character(*chars, at));
  const auto goes = [&](char32_t c) { return chars ? given.contains(c) : is_python_space(c); };
  while (ends != Ends::right && !text.empty()) {
    std::size_t end = 0;
    if (!goes(next_character(text, end))) break;
    text.remove_prefix(end);
  }
  while (ends != Ends::left && !text.empty()) {
    std::size_t begin = 0;
    if (!goes(last_character(text, begin))) break;
    text = text.substr(0, begin);
  }
  return text;
}

std::vector<std::string> split(std::string_view text, const std::optional<std::string>& separator,
                               std::int64_t most, bool from_right) {
  if (!separator) return split_at_space(text, most, from_right);
  if (separator->empty()) fail(ErrorKind::input, "empty separator");
  if (from_right) {  // from the left of the bytes in reverse
    std::vector<std::string> parts = split(reversed(text), reversed(*separator), most, false);
    for (std::string& part : parts) std::ranges::reverse(part);
    std::ranges::reverse(parts);
    return parts;
  }
  std::vector<std::string> parts;
  while (most < 0 || std::ssize(parts) < most) {
    const std::size_t at = find_first(text, *separator);
    if (at == text.npos) break;
    add_part(parts, text.substr(0, at));
    text.remove_prefix(at + separator->size());
  }
  add_part(parts, text);
  return parts;
}

std::vector<std::string> split_lines(std::string_view text) {
  std::vector<std::string> lines;
  std::size_t begin = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t here = at;
    const char32_t c = next_character(text, at);
    const bool ends =
        (c >= '\n' && c <= '\r') || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
    if (!ends) continue;
    if (c == '\r' && at < text.size() && text[at] == '\n') ++at;
    add_part(lines, text.substr(begin, here - begin));
    begin = at;
  }
  if (begin < text.size()) add_part(lines, text.substr(begin));
  return lines;
}

std::string replaced(std::string_view text, std::string_view old, std::string_view with, std::int64_t most) {
  TextBuilder out;
  std::int64_t done = 0;
  std::size_t at = 0;
  while (most < 0 || done < most) {
    // An empty text is found in front of every character and at the end.
    std::size_t found = at;
    if (!old.empty())
      found = find_first(text, old, at);
    else if (done > 0)
      found = at < text.size() ? at + character_length(text[at]) : text.npos;
    if (found == text.npos || found > text.size()) break;
    out.add(text.substr(at, found - at)).add(with);
    at = found + old.size();
    ++done;
  }
  return out.add(text.substr(at)).take();
}

std::string float_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  std::array<char, 64> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), std::abs(value),
                                 std::chars_format::scientific);
  const std::string_view shortest(buffer.data(), static_cast<std::size_t>(end.ptr - buffer.data()));
  const std::size_t e = shortest.find('e');
  std::string digits(shortest.substr(0, e));
  const int exponent = std::stoi(std::string(shortest.substr(e + 1)));
  std::erase(digits, '.');
  const std::string sign = std::signbit(value) ? "-" : "";
  const int count = static_cast<int>(digits.size());
  if (exponent < -4 || exponent >= 16) {
    std::string power = std::to_string(std::abs(exponent));
    if (power.size() < 2) power.insert(0, "0");
    return sign + digits[0] + (count > 1 ? "." + digits.substr(1) : "") + "e" + (exponent < 0 ? "-" : "+") +
           power;
  }
  if (exponent < 0) return sign + "0." + std::string(static_cast<std::size_t>(-exponent - 1), '0') + digits;
  if (count <= exponent + 1)
    return sign + digits + std::string(static_cast<std::size_t>(exponent + 1 - count), '0') + ".0";
  return sign + digits.insert(static_cast<std::size_t>(exponent) + 1, ".");
}

std::string quoted_text(std::string_view text) {
  const char quote = text.find('\'') != text.npos && text.find('"') == text.npos ? '"' : '\'';
  std::string out(1, quote);
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    const char32_t c = next_character(text, at);
    if (c == static_cast<unsigned char>(quote) || c == '\\')
      out += '\\', out += static_cast<char>(c);
    else if (c == '\n' || c == '\r' || c == '\t')
      out += c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t";
    else if (is_printable(c))
      out += text.substr(begin, at - begin);
    else
      out += python_escape(c);
  }
  return out + quote;
}

}  // namespace mquant::jinja
