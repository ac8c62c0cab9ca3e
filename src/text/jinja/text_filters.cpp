// Filters of texts and numbers.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <map>
#include <optional>
#include <string>

#include "mquant/error.h"
#include "text/jinja/library.h"
#include "text/jinja/operators.h"
#include "text/jinja/python_text.h"
#include "text/unicode.h"

namespace mquant::jinja {
namespace {

template <std::string (*change)(std::string_view)>
Value change_text(const FilterCall& call) {
  call.bind({});
  return Value::text_like(call.subject, change(to_text(call.subject)));
}

/// Puts words together anew, which loses the mark of `safe`.
Value title(const FilterCall& call) {
  call.bind({});
  return title_of_words(to_text(call.subject));
}

Value trim(const FilterCall& call) {
  const std::optional<std::string> chars = call.bind({"chars"}).text_or_none(0);
  if (chars)
    refuse_safe(call.subject, "trim() of given characters");  // some releases of MarkupSafe escape them
  return Value::text_like(call.subject, std::string(stripped(to_text(call.subject), Ends::both, chars)));
}

Value replace(const FilterCall& call) {
  const Bound bound = call.bind({"old", "new", "count"});
  return replaced(to_text(call.subject), to_text(bound.at(0)), to_text(bound.at(1)),
                  bound.integer_or_none(2).value_or(-1));
}

Value indent(const FilterCall& call) {
  const Bound bound = call.bind({"width", "first", "blank"});
  if (!call.subject.is_safe() && bound.find(0)) refuse_safe(*bound.find(0), "indent(): 'width'");
  std::string margin;
  if (bound.find(0) && bound.find(0)->text())
    margin = bound.text(0);
  else
    margin = *arithmetic("*", " ", Value(bound.integer_or(0, 4))).text();
  const bool blank = bound.truth_or(2, false);
  TextBuilder out;
  if (bound.truth_or(1, false)) out.add(margin);
  bool first = true;
  for (const std::string& line : split_lines(text_of(call.subject, "indent") + "\n")) {
    if (!std::exchange(first, false)) out.add("\n").add(blank || !line.empty() ? margin : "");
    out.add(line);
  }
  return Value::text_like(call.subject, out.take());
}

Value string(const FilterCall& call) {
  call.bind({});
  return Value::text_like(call.subject, to_text(call.subject));
}

Value safe(const FilterCall& call) {
  call.bind({});
  return Value::safe_text(to_text(call.subject));
}

Value format(const FilterCall& call) {
  refuse_safe(call.subject, "format()");
  return percent_format(to_text(call.subject), call.arguments);
}

/// Removes the '_' that Python allows between digits; nothing if one stands elsewhere.
std::optional<std::string> number_text(std::string_view text) {
  const auto is_digit = [&](std::size_t at) {
    return at < text.size() && text[at] >= '0' && text[at] <= '9';
  };
  text = strip(text);
  if (text.starts_with('+') && !text.starts_with("+-")) text.remove_prefix(1);
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_')
      out += text[i];
    else if (i == 0 || !is_digit(i - 1) || !is_digit(i + 1))
      return std::nullopt;
  }
  return out;
}

std::optional<double> read_float(const std::string& text) {
  const std::optional<std::string> digits = number_text(text);
  if (!digits || digits->empty()) return std::nullopt;
  double value = 0;
  const auto end = std::from_chars(digits->data(), digits->data() + digits->size(), value);
  if (end.ptr != digits->data() + digits->size() || digits->find('(') != digits->npos) return std::nullopt;
  if (end.ec == std::errc::result_out_of_range)
    fail(ErrorKind::unsupported, "a number beyond those of 64 bits is not supported");
  return value;
}

Value truncated(double value, const Value& otherwise) {
  if (!std::isfinite(value)) return otherwise;
  if (std::abs(value) >= 9.2e18)
    fail(ErrorKind::unsupported, "integers of more than 63 bits are not supported");
  return static_cast<std::int64_t>(value);
}

Value to_integer(const FilterCall& call) {
  const Bound bound = call.bind({"default", "base"});
  const Value otherwise = bound.find(0) ? *bound.find(0) : Value(std::int64_t{0});
  if (bound.integer_or_none(1).value_or(0) != (bound.find(1) ? 10 : 0))
    fail(ErrorKind::unsupported, "int() of another base is not supported");
  if (call.subject.is_undefined()) fail_undefined(call.subject);
  std::int64_t integer = 0;
  if (as_integer(call.subject, integer)) return integer;
  if (const double* real = call.subject.get_if<double>()) return truncated(*real, otherwise);
  if (!call.subject.text()) return otherwise;
  const std::optional<std::string> digits = number_text(*call.subject.text());
  if (!digits) return otherwise;
  const auto end = std::from_chars(digits->data(), digits->data() + digits->size(), integer);
  if (!digits->empty() && end.ptr == digits->data() + digits->size()) {
    if (end.ec != std::errc())
      fail(ErrorKind::unsupported, "integers of more than 63 bits are not supported");
    return integer;
  }
  const std::optional<double> real = read_float(*call.subject.text());
  return real ? truncated(*real, otherwise) : otherwise;
}

Value to_float(const FilterCall& call) {
  const Bound bound = call.bind({"default"});
  if (call.subject.is_undefined()) fail_undefined(call.subject);
  double number = 0;
  if (as_number(call.subject, number)) return number;
  const Value otherwise = bound.find(0) ? *bound.find(0) : Value(0.0);
  if (!call.subject.text()) return otherwise;
  const std::optional<double> real = read_float(*call.subject.text());
  return real ? Value(*real) : otherwise;
}

Value absolute(const FilterCall& call) {
  call.bind({});
  double number = 0;
  if (call.subject.is_undefined()) fail_undefined(call.subject);
  if (!as_number(call.subject, number))
    fail(ErrorKind::input, "bad operand type for abs(): '", type_name(call.subject), "'");
  if (call.subject.get_if<double>()) return std::abs(number);
  return number < 0 ? minus(call.subject) : plus(call.subject);
}

Value round(const FilterCall& call) {
  const Bound bound = call.bind({"precision", "method"});
  const std::string method = bound.text_or(1, "common");
  if (bound.find(0) && bound.find(0)->is_none())
    fail(ErrorKind::unsupported, "rounding to none digits is not supported");
  const std::int64_t precision = bound.integer_or(0, 0);
  if (call.subject.is_undefined()) fail_undefined(call.subject);
  double number = 0;
  if (!as_number(call.subject, number))
    fail(ErrorKind::input, "round(): expected a number, found '", type_name(call.subject), "'");
  if (method != "common" && method != "ceil" && method != "floor")
    fail(ErrorKind::input, "method must be common, ceil or floor");
  if (precision < 0 || precision > 15)
    fail(ErrorKind::unsupported, "rounding to ", precision, " digits is not supported");
  std::int64_t integer = 0;
  if (method == "common" && as_integer(call.subject, integer)) return integer;
  if (!std::isfinite(number)) return number;
  if (method != "common") {
    const double scale = std::pow(10.0, static_cast<double>(precision));
    return (method == "ceil" ? std::ceil(number * scale) : std::floor(number * scale)) / scale +
           0.0;  // no -0.0
  }
  std::array<char, 512> digits{};  // exact, and half to even, as Python rounds
  const int size = std::snprintf(digits.data(), digits.size(), "%.*f", static_cast<int>(precision), number);
  std::from_chars(digits.data(), digits.data() + size, number);
  return number;
}

}  // namespace

Filter find_text_filter(std::string_view name) {
  static const std::map<std::string_view, Filter> table = {
      {"upper", change_text<upper>},
      {"lower", change_text<lower>},
      {"capitalize", change_text<capitalize>},
      {"title", title},
      {"trim", trim},
      {"replace", replace},
      {"indent", indent},
      {"string", string},
      {"safe", safe},
      {"format", format},
      {"int", to_integer},
      {"float", to_float},
      {"abs", absolute},
      {"round", round},
      {"tojson", [](const FilterCall& call) { return Value(to_json(call)); }}};
  const auto found = table.find(name);
  return found == table.end() ? nullptr : found->second;
}

}  // namespace mquant::jinja
