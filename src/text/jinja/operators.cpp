#include "text/jinja/operators.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "mquant/error.h"
#include "text/jinja/python_text.h"

namespace mquant::jinja {
namespace {

using Form = Sequence::Form;

[[noreturn]] void fail_beyond() {
  fail(ErrorKind::unsupported, "integers of more than 63 bits are not supported");
}

std::int64_t floor_divide(std::int64_t a, std::int64_t b) {
  if (b == -1) {
    std::int64_t out = 0;
    return __builtin_sub_overflow(std::int64_t{0}, a, &out) ? (fail_beyond(), 0) : out;
  }
  const std::int64_t quotient = a / b;
  return quotient - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0);
}

struct Division {
  double quotient = 0, rest = 0;
};

/// // and % as CPython computes them, whose quotient is that of a - rest, not floor(a / b).
Division divide(double a, double b) {
  double rest = std::fmod(a, b);
  double quotient = (a - rest) / b;
  if (rest == 0) {
    rest = std::copysign(0.0, b);
  } else if ((rest < 0) != (b < 0)) {
    rest += b;
    quotient -= 1;
  }
  if (quotient == 0) return {std::copysign(0.0, a / b), rest};
  const double whole = std::floor(quotient);
  return {quotient - whole > 0.5 ? whole + 1 : whole, rest};
}

Value integer_power(std::int64_t base, std::int64_t exponent) {
  if (exponent < 0) {
    if (base == 0) fail(ErrorKind::input, "zero to a negative power");
    return std::pow(static_cast<double>(base), static_cast<double>(exponent));
  }
  std::int64_t out = 1;
  if (base == 0 || base == 1) return exponent == 0 ? std::int64_t{1} : base;
  if (base == -1) return exponent % 2 == 0 ? std::int64_t{1} : std::int64_t{-1};
  for (; exponent > 0; --exponent)  // at most 63 times
    if (__builtin_mul_overflow(out, base, &out)) fail_beyond();
  return out;
}

Value integers(std::string_view sign, std::int64_t a, std::int64_t b) {
  if (b == 0 && (sign == "/" || sign == "//" || sign == "%")) fail(ErrorKind::input, "division by zero");
  std::int64_t out = 0;
  bool overflow = false;
  if (sign == "+")
    overflow = __builtin_add_overflow(a, b, &out);
  else if (sign == "-")
    overflow = __builtin_sub_overflow(a, b, &out);
  else if (sign == "*")
    overflow = __builtin_mul_overflow(a, b, &out);
  else if (sign == "/")
    return static_cast<double>(a) / static_cast<double>(b);
  else if (sign == "//")
    out = floor_divide(a, b);
  else if (sign == "%")
    out = b == -1 ? 0 : a - floor_divide(a, b) * b;
  else
    return integer_power(a, b);
  if (overflow) fail_beyond();
  return out;
}

Value reals(std::string_view sign, double a, double b) {
  if (b == 0 && (sign == "/" || sign == "//" || sign == "%")) fail(ErrorKind::input, "division by zero");
  if (sign == "+") return a + b;
  if (sign == "-") return a - b;
  if (sign == "*") return a * b;
  if (sign == "/") return a / b;
  if (sign == "//") return divide(a, b).quotient;
  if (sign == "%") return divide(a, b).rest;
  if (a < 0 && b != std::floor(b)) fail(ErrorKind::unsupported, "complex numbers are not supported");
  if (a == 0 && b < 0) fail(ErrorKind::input, "zero to a negative power");
  const double power = std::pow(a, b);
  if (std::isinf(power) && std::isfinite(a) && std::isfinite(b))
    fail(ErrorKind::input, "a power beyond the largest float");
  return power;
}

Value repeated(const Value& value, std::int64_t times) {
  const std::size_t count = static_cast<std::size_t>(std::max<std::int64_t>(times, 0));
  if (const std::string* text = value.text()) {
    TextBuilder out;
    for (std::size_t i = 0; i < (text->empty() ? 0 : count); ++i) out.add(*text);
    return Value::text_like(value, out.take());
  }
  const std::vector<Value>& items = value.list()->items;
  if (!items.empty() && count > kHeaviestValue / items.size())
    fail(ErrorKind::input, "a list of more than ", kHeaviestValue, " items");
  std::vector<Value> out;
  for (std::size_t i = 0; i < (items.empty() ? 0 : count); ++i)
    out.insert(out.end(), items.begin(), items.end());
  return Value::sequence(std::move(out), value.list()->form);
}

bool is_list_or_tuple(const Value& value) {
  return value.list() && (value.list()->form == Form::list || value.list()->form == Form::tuple);
}

Value concatenated_texts(const Value& a, const Value& b) {
  if (a.is_safe() != b.is_safe()) refuse_safe(a.is_safe() ? a : b, "'+'");
  return Value::text_like(a, TextBuilder().add(*a.text()).add(*b.text()).take());
}

Value concatenated(const Value& a, const Value& b) {
  std::vector<Value> items = a.list()->items;
  items.insert(items.end(), b.list()->items.begin(), b.list()->items.end());
  return Value::sequence(std::move(items), a.list()->form);
}

Arguments format_arguments(const Value& value) {
  if (value.list() && value.list()->form == Form::tuple)
    return {.positional = value.list()->items, .named = {}};
  return {.positional = {value}, .named = {}};
}

/// What Python takes for a mapping, of which a format may leave items out.
bool has_items(const Value& value) {
  return value.is_undefined() || value.dict() ||
         (value.list() && (value.list()->form == Form::list || value.list()->form == Form::range));
}

bool is_set(const Value& value) {
  return value.list() && (value.list()->form == Form::keys || value.list()->form == Form::items);
}

/// One conversion of percent_format: "%-08.3f".
struct Conversion {
  bool left = false, zeros = false;
  std::size_t width = 0;
  int precision = -1;
  char kind = 's';
};

std::size_t small_number(std::string_view format, std::size_t& at) {
  constexpr std::size_t kMost = 10'000;
  std::size_t number = 0;
  for (; at < format.size() && format[at] >= '0' && format[at] <= '9'; ++at) {
    number = number * 10 + static_cast<std::size_t>(format[at] - '0');
    if (number > kMost) fail(ErrorKind::unsupported, "a width of more than ", kMost, " is not supported");
  }
  return number;
}

Conversion read_conversion(std::string_view format, std::size_t& at) {
  Conversion out;
  for (; at < format.size() && (format[at] == '-' || format[at] == '0'); ++at)
    (format[at] == '-' ? out.left : out.zeros) = true;
  out.width = small_number(format, at);
  if (at < format.size() && format[at] == '.') out.precision = static_cast<int>(small_number(format, ++at));
  if (at == format.size()) fail(ErrorKind::input, "a format that ends within a conversion");
  out.kind = format[at++];
  return out;
}

std::string converted(const Conversion& how, const Value& value) {
  double number = 0;
  std::int64_t integer = 0;
  switch (how.kind) {
    case 's':
    case 'r': {
      const std::string text = how.kind == 's' ? to_text(value) : to_repr(value);
      return how.precision < 0 ? text : std::string(substring(text, 0, how.precision));
    }
    case 'd':
    case 'i':
      if (!as_number(value, number))
        fail(ErrorKind::input, "%d: expected a number, found '", type_name(value), "'");
      if (how.precision >= 0 || (!as_integer(value, integer) && std::abs(number) >= 9e18))
        fail(ErrorKind::unsupported, "this form of %d is not supported");
      return std::to_string(as_integer(value, integer) ? integer : static_cast<std::int64_t>(number));
    case 'f': {
      if (!as_number(value, number))
        fail(ErrorKind::input, "%f: expected a number, found '", type_name(value), "'");
      const int precision = how.precision < 0 ? 6 : how.precision;
      std::string text(static_cast<std::size_t>(std::snprintf(nullptr, 0, "%.*f", precision, number)), '\0');
      std::snprintf(text.data(), text.size() + 1, "%.*f", precision, number);
      return text;
    }
    default:
      fail(ErrorKind::unsupported, "the conversion '%", std::string(1, how.kind), "' is not supported");
  }
}

std::string padded(const Conversion& how, std::string text) {
  const auto count = static_cast<std::size_t>(length(text));
  if (count >= how.width) return text;
  const std::size_t missing = how.width - count;
  if (how.left) return text + std::string(missing, ' ');
  const bool zeros = how.zeros && how.kind != 's' && how.kind != 'r';
  const std::size_t at = zeros && text.starts_with('-') ? 1 : 0;
  return text.insert(at, missing, zeros ? '0' : ' ');
}

}  // namespace

Value arithmetic(std::string_view sign, const Value& a, const Value& b) {
  if (a.is_undefined()) fail_undefined(a);
  if (sign == "%") refuse_safe(a, "'%'");
  if (sign == "%" && a.text())
    return percent_format(*a.text(), format_arguments(b), /*all_used=*/!has_items(b));
  if (b.is_undefined()) fail_undefined(b);
  std::int64_t i = 0, j = 0;
  if (as_integer(a, i) && as_integer(b, j)) return integers(sign, i, j);
  double x = 0, y = 0;
  if (as_number(a, x) && as_number(b, y)) return reals(sign, x, y);
  if (sign == "+" && a.text() && b.text()) return concatenated_texts(a, b);
  if (sign == "+" && is_list_or_tuple(a) && is_list_or_tuple(b) && a.list()->form == b.list()->form)
    return concatenated(a, b);
  if (sign == "*" && (a.text() || is_list_or_tuple(a)) && as_integer(b, j)) return repeated(a, j);
  if (sign == "*" && (b.text() || is_list_or_tuple(b)) && as_integer(a, i)) return repeated(b, i);
  if (is_set(a) || is_set(b)) fail(ErrorKind::unsupported, "arithmetic of sets is not supported");
  fail(ErrorKind::input, "unsupported operand types for ", sign, ": '", type_name(a), "' and '", type_name(b),
       "'");
}

Value minus(const Value& value) {
  std::int64_t integer = 0;
  if (as_integer(value, integer)) return integers("-", 0, integer);
  if (const double* real = value.get_if<double>()) return -*real;
  return arithmetic("-", value, Value());
}

Value plus(const Value& value) {
  std::int64_t integer = 0;
  if (as_integer(value, integer)) return integer;
  if (value.get_if<double>()) return value;
  return arithmetic("+", value, Value());
}

bool contains(const Value& container, const Value& item) {
  if (const std::string* text = container.text()) {
    if (item.is_undefined() || !item.text())
      fail(ErrorKind::input, "'in <string>' requires string as left operand, not ", type_name(item));
    return find_first(*text, *item.text()) != std::string_view::npos;
  }
  if (const Dict* dict = container.dict()) {
    require_hashable(item);
    return dict->find(item) != nullptr;
  }
  if (Sequence* list = container.list(); list && list->form == Form::iterator) {
    while (list->taken < list->items.size())
      if (equal(list->items[list->taken++], item)) return true;
    return false;
  }
  if (const Sequence* list = container.list(); list && list->form == Form::keys) require_hashable(item);
  if (const Sequence* list = container.list())
    return std::ranges::any_of(list->items, [&](const Value& each) { return equal(each, item); });
  if (container.is_undefined()) return false;
  fail(ErrorKind::input, "argument of type '", type_name(container), "' is not iterable");
}

bool compare(std::string_view sign, const Value& a, const Value& b) {
  if (sign == "==") return equal(a, b);
  if (sign == "!=") return !equal(a, b);
  if (sign == "in") return contains(b, a);
  if (sign == "not in") return !contains(b, a);
  const std::partial_ordering order = order_of(a, b, sign);
  if (sign == "<") return order < 0;
  if (sign == ">") return order > 0;
  return sign == "<=" ? order <= 0 : order >= 0;
}

std::string percent_format(const std::string& format, const Arguments& arguments, bool all_used) {
  if (!arguments.named.empty())
    fail(ErrorKind::unsupported, "a format with arguments by name is not supported");
  TextBuilder out;
  std::size_t used = 0;
  for (std::size_t at = 0; at < format.size();) {
    const std::size_t percent = std::min(format.find('%', at), format.size());
    out.add(std::string_view(format).substr(at, percent - at));
    if (percent == format.size()) break;
    at = percent + 1;
    const Conversion how = read_conversion(format, at);
    if (how.kind == '%') {
      out.add("%");
      continue;
    }
    if (used == arguments.positional.size()) fail(ErrorKind::input, "not enough arguments for the format");
    out.add(padded(how, converted(how, arguments.positional[used++])));
  }
  if (all_used && used < arguments.positional.size())
    fail(ErrorKind::input, "not all arguments of the format are used");
  return out.take();
}

}  // namespace mquant::jinja
