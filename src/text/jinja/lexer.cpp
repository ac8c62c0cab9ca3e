#include "text/jinja/lexer.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "mquant/error.h"
#include "text/jinja/python_text.h"
#include "text/unicode.h"

namespace mquant::jinja {
namespace {

using Kind = Token::Kind;

constexpr std::size_t npos = std::string_view::npos;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool begins_name(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool in_name(char c) { return begins_name(c) || is_digit(c); }

/// Line ends become \n, and one at the end goes.
std::string normalized_lines(std::string_view source) {
  std::string out;
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r')
      out += source[i];
    else if (i + 1 == source.size() || source[i + 1] != '\n')
      out += '\n';
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

/// The value of a literal without its quotes, by Python's "unicode-escape".
class StringLiteral {
 public:
  explicit StringLiteral(std::string_view text) : text_(text) {}

  std::string decode() {
    while (at_ < text_.size()) {
      if (text_[at_] != '\\' || at_ + 1 == text_.size()) {
        out_ += text_[at_++];
        continue;
      }
      at_ += 2;
      escape(text_[at_ - 1]);
    }
    return std::move(out_);
  }

 private:
  void escape(char c) {
    constexpr std::string_view kShort = "\\'\"abfnrtv", kMeaning = "\\'\"\a\b\f\n\r\t\v";
    if (const std::size_t known = kShort.find(c); known != npos)
      out_ += kMeaning[known];
    else if (c == 'x' || c == 'u' || c == 'U')
      number(c == 'x' ? 2 : c == 'u' ? 4 : 8);
    else if (c >= '0' && c <= '7')
      octal();
    else if (c == 'N')
      fail(ErrorKind::unsupported, "a character by its name (\\N) is not supported; write it as \\u");
    else if (static_cast<unsigned char>(c) >= 0x80)
      fail(ErrorKind::unsupported, "a backslash before a character beyond ASCII is not supported");
    else if (c != '\n')
      out_ += '\\', out_ += c;
  }

  void number(std::size_t digits) {
    const std::string_view hex = text_.substr(at_, digits);
    std::uint32_t value = 0;
    const auto end = std::from_chars(hex.data(), hex.data() + hex.size(), value, 16);
    if (hex.size() != digits || end.ptr != hex.data() + digits || value > 0x10FFFF)
      fail(ErrorKind::input, "an escape of a string without its ", digits, " hexadecimal digits");
    at_ += digits;
    character(value);
  }

  void octal() {
    std::uint32_t value = 0;
    --at_;
    for (int i = 0; i < 3 && at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '7'; ++i)
      value = value * 8 + static_cast<std::uint32_t>(text_[at_++] - '0');
    character(value);
  }

  void character(std::uint32_t value) {
    if (value >= 0xD800 && value <= 0xDFFF)
      fail(ErrorKind::unsupported, "half a surrogate pair in a string is not supported");
    append_utf8(value, out_);
  }

  std::string_view text_;
  std::string out_;
  std::size_t at_ = 0;
};

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) data();
    add(Kind::end, at_);
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void refuse(std::size_t at, const std::string& what, ErrorKind kind = ErrorKind::input) const {
    fail(kind, place(position(at)), ": ", what);
  }

  Position position(std::size_t at) const {
    if (at < counted_) line_ = 1, line_begin_ = 0, counted_ = 0;
    for (; counted_ < at; ++counted_)
      if (source_[counted_] == '\n') ++line_, line_begin_ = counted_ + 1;
    return {line_, static_cast<int>(at - line_begin_) + 1};
  }

  void add(Kind kind, std::size_t at, std::string text = {}, Value number = {}) {
    tokens_.push_back({kind, std::move(text), std::move(number), position(at)});
  }

  bool ahead(std::string_view text, std::size_t at) const { return source_.substr(at).starts_with(text); }

  void skip_space() {
    while (at_ < source_.size()) {
      std::size_t next = at_;
      if (!is_python_space(next_character(source_, next))) return;
      at_ = next;
    }
  }

  /// After a tag: its newline goes too.
  void skip_newline() {
    if (ahead("\n", at_)) ++at_;
  }

  void leave(std::size_t at) {
    at_ = at;
    line_starts_ = at > 0 && source_[at - 1] == '\n';
  }

  /// Text up to the next tag, and the tag.
  void data() {
    std::size_t tag = source_.find('{', at_);
    while (tag != npos && !ahead("{%", tag) && !ahead("{{", tag) && !ahead("{#", tag))
      tag = source_.find('{', tag + 1);
    const std::size_t begin = at_;
    if (tag == npos) {
      add(Kind::data, begin, std::string(source_.substr(begin)));
      at_ = source_.size();
      return;
    }
    const char kind = source_[tag + 1];
    const char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
    add_text(begin, tag, sign, kind != '{');
    at_ = tag + 2 + (sign == '-' || sign == '+' ? 1 : 0);
    if (kind == '#') return comment(tag);
    if (kind == '%' && raw(tag)) return;
    inside(tag, kind == '%');
  }

  /// source_[begin, end), with the space that the tag after it takes away.
  void add_text(std::size_t begin, std::size_t end, char sign, bool strips_line) {
    std::string_view text = source_.substr(begin, end - begin);
    if (sign == '-') {
      text = stripped(text, Ends::right);
    } else if (sign != '+' && strips_line) {
      const std::size_t newline = text.rfind('\n');
      const std::size_t line = newline == npos ? 0 : newline + 1;
      if ((line > 0 || line_starts_) && strip(text.substr(line)).empty()) text = text.substr(0, line);
    }
    if (!text.empty()) add(Kind::data, begin, std::string(text));
  }

  void comment(std::size_t tag) {
    const std::size_t end = source_.find("#}", at_);
    if (end == npos) refuse(tag, "a comment without an end");
    const char sign = end > at_ ? source_[end - 1] : '\0';
    at_ = end + 2;
    if (sign == '-')
      skip_space();
    else if (sign != '+')
      skip_newline();
    leave(at_);
  }

  /// Where `word` is the only one of the tag whose inner part begins at `at`: the offset of its end tag.
  std::optional<std::size_t> lone_word(std::string_view word, std::size_t at) const {
    const std::string_view rest = stripped(source_.substr(at), Ends::left);
    if (!rest.starts_with(word)) return std::nullopt;
    const std::string_view end = stripped(rest.substr(word.size()), Ends::left);
    for (const std::string_view sign : {"%}", "-%}", "+%}"})
      if (end.starts_with(sign)) return static_cast<std::size_t>(end.data() - source_.data());
    return std::nullopt;
  }

  /// {% raw %} ... {% endraw %}
  bool raw(std::size_t tag) {
    const auto open = lone_word("raw", at_);
    if (!open || source_[*open] == '+') return false;
    at_ = *open + (source_[*open] == '-' ? 3 : 2);
    if (source_[*open] == '-') skip_space();
    leave(at_);
    for (std::size_t end = source_.find("{%", at_); end != npos; end = source_.find("{%", end + 2)) {
      const char sign = end + 2 < source_.size() ? source_[end + 2] : '\0';
      const auto close = lone_word("endraw", end + 2 + (sign == '-' || sign == '+' ? 1 : 0));
      if (!close) continue;
      add_text(at_, end, sign, true);
      at_ = *close;
      end_tag("%}");
      return true;
    }
    refuse(tag, "{% raw %} without {% endraw %}");
  }

  /// Skips the end of a tag or print statement, which begins at at_ with its sign.
  void end_tag(std::string_view end) {
    const char sign = source_[at_];
    at_ += end.size() + (sign == '-' || sign == '+' ? 1 : 0);
    if (sign == '-')
      skip_space();
    else if (sign != '+' && end == "%}")
      skip_newline();
    leave(at_);
  }

  bool at_end_tag(std::string_view end) const {
    return ahead(end, at_) || (ahead("-", at_) && ahead(end, at_ + 1)) ||
           (end == "%}" && ahead("+", at_) && ahead(end, at_ + 1));
  }

  void inside(std::size_t tag, bool is_tag) {
    const std::string_view end = is_tag ? "%}" : "}}";
    add(is_tag ? Kind::tag_begin : Kind::print_begin, tag);
    std::string open;  // brackets
    while (true) {
      skip_space();
      if (at_ >= source_.size()) refuse(tag, is_tag ? "a tag without an end" : "'{{' without its end");
      if (open.empty() && at_end_tag(end)) {
        add(is_tag ? Kind::tag_end : Kind::print_end, at_);
        return end_tag(end);
      }
      token(open);
    }
  }

  void token(std::string& open) {
    const std::size_t begin = at_;
    const char c = source_[at_];
    if (c == '\'' || c == '"') return string(c);
    if (is_digit(c)) return number();
    if (begins_name(c)) {
      while (at_ < source_.size() && in_name(source_[at_])) ++at_;
      return add(Kind::name, begin, std::string(source_.substr(begin, at_ - begin)));
    }
    if (static_cast<unsigned char>(c) >= 0x80)
      refuse(begin, "a name with letters beyond ASCII is not supported", ErrorKind::unsupported);
    sign(open);
  }

  void string(char quote) {
    const std::size_t begin = at_++;
    while (at_ < source_.size() && source_[at_] != quote) at_ += source_[at_] == '\\' ? 2 : 1;
    if (at_ >= source_.size()) refuse(begin, "a string without an end");
    const std::string_view inner = source_.substr(begin + 1, at_ - begin - 1);
    ++at_;
    add(Kind::text, begin, in_context(place(position(begin)), [&] { return StringLiteral(inner).decode(); }));
  }

  void digits(std::string& text) {
    while (at_ < source_.size() &&
           (is_digit(source_[at_]) || (source_[at_] == '_' && at_ + 1 < source_.size() &&
                                       is_digit(source_[at_ + 1]) && at_ > 0 && is_digit(source_[at_ - 1]))))
      if (const char c = source_[at_++]; c != '_') text += c;
  }

  bool is_digit_at(std::size_t at) const { return at < source_.size() && is_digit(source_[at]); }

  void number() {
    const std::size_t begin = at_;
    if (source_[at_] == '0' && at_ + 1 < source_.size() &&
        std::string_view("xXoObB").find(source_[at_ + 1]) != npos)
      refuse(begin, "a number that is not decimal is not supported", ErrorKind::unsupported);
    std::string text;
    digits(text);
    bool is_float = false;
    const bool is_subscript = begin > 0 && source_[begin - 1] == '.';  // a.0.1
    if (!is_subscript && ahead(".", at_) && is_digit_at(at_ + 1)) {
      is_float = true;
      text += source_[at_++];
      digits(text);
    }
    if (!is_subscript && (ahead("e", at_) || ahead("E", at_))) {
      const bool is_signed = ahead("+", at_ + 1) || ahead("-", at_ + 1);
      if (is_digit_at(at_ + (is_signed ? 2 : 1))) {
        is_float = true;
        text += source_.substr(at_, is_signed ? 2 : 1);
        at_ += is_signed ? 2 : 1;
        digits(text);
      }
    }
    if (!is_float && text.size() > 1 && text[0] == '0' && text.find_first_not_of('0') != npos)
      refuse(begin, "a number with zeros in front");
    if (is_float) {
      double value = 0;
      const auto end = std::from_chars(text.data(), text.data() + text.size(), value);
      if (end.ec != std::errc())
        refuse(begin, "a number beyond those of 64 bits is not supported", ErrorKind::unsupported);
      return add(Kind::number, begin, text, value);
    }
    std::int64_t value = 0;
    const auto end = std::from_chars(text.data(), text.data() + text.size(), value);
    if (end.ec != std::errc())
      refuse(begin, "an integer of more than 63 bits is not supported", ErrorKind::unsupported);
    add(Kind::number, begin, text, value);
  }

  void sign(std::string& open) {
    constexpr std::array<std::string_view, 26> kSigns = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                                         "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                                         ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};
    const std::size_t begin = at_;
    const auto found =
        std::ranges::find_if(kSigns, [&](std::string_view known) { return ahead(known, begin); });
    if (found == kSigns.end()) refuse(begin, cat("unexpected '", printable_character(begin), "'"));
    const char c = found->front();
    if (c == '(' || c == '[' || c == '{') {
      open += c == '(' ? ')' : c == '[' ? ']' : '}';
    } else if (c == ')' || c == ']' || c == '}') {
      if (open.empty() || open.back() != c) refuse(begin, cat("unexpected '", c, "'"));
      open.pop_back();
    }
    at_ += found->size();
    add(Kind::sign, begin, std::string(*found));
  }

  std::string printable_character(std::size_t at) const {
    const auto c = static_cast<unsigned char>(source_[at]);
    return is_printable(c) ? std::string(1, source_[at]) : python_escape(c);
  }

  std::string_view source_;
  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  bool line_starts_ = true;  ///< what was read last ends a line
  mutable std::size_t counted_ = 0, line_begin_ = 0;
  mutable int line_ = 1;
};

}  // namespace

std::string place(const Position& position) {
  return cat("line ", position.line, ", column ", position.column);
}

std::vector<Token> tokenize(std::string_view source) {
  const std::string lines = normalized_lines(source);
  return Lexer(lines).run();
}

}  // namespace mquant::jinja
