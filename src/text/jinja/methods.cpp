// Methods of Python's str, list and dict.
#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mquant/error.h"
#include "support/strings.h"
#include "text/jinja/access.h"
#include "text/jinja/operators.h"
#include "text/jinja/python_text.h"
#include "text/unicode.h"

namespace mquant::jinja {
namespace {

struct Call {
  const Function& method;
  const Arguments& arguments;
  Budget& budget;

  const std::string& text() const { return *method.self.text(); }
  Bound bind(std::initializer_list<std::string_view> names) const {
    return Bound(method.name, arguments, names);
  }
};
using Method = Value (*)(const Call&);

/// The parts of the text whose method is called.
Value texts(const Call& call, std::vector<std::string> parts) {
  std::vector<Value> items;
  items.reserve(parts.size());
  for (std::string& part : parts) items.push_back(Value::text_like(call.method.self, std::move(part)));
  return Value::sequence(std::move(items));
}

Value text_like_own(const Call& call, std::string_view text) {
  return Value::text_like(call.method.self, std::string(text));
}

void refuse_safe_text(const Call& call) { refuse_safe(call.method.self, cat(call.method.name, "()")); }

template <Ends ends>
Value strip_method(const Call& call) {
  const std::optional<std::string> chars = call.bind({"chars"}).text_or_none(0);
  if (chars) refuse_safe_text(call);  // some releases of MarkupSafe escape them
  return text_like_own(call, stripped(call.text(), ends, chars));
}

template <bool from_right>
Value split_method(const Call& call) {
  const Bound bound = call.bind({"sep", "maxsplit"});
  return texts(call, jinja::split(call.text(), bound.text_or_none(0), bound.integer_or(1, -1), from_right));
}

template <std::string (*change)(std::string_view)>
Value change_method(const Call& call) {
  call.bind({});
  return text_like_own(call, change(call.text()));
}

/// The part of the text that start and end name, for the methods that search; none where nothing is found in it, not
/// even an empty text.
std::optional<std::string_view> searched(const Call& call, const Bound& bound, std::int64_t& begin) {
  const std::int64_t size = length(call.text());
  const auto place = [&](std::size_t parameter, std::int64_t otherwise) {
    const std::int64_t at = bound.integer_or_none(parameter).value_or(otherwise);
    return at < 0 ? std::max<std::int64_t>(at, -size) + size : at;
  };
  begin = place(1, 0);
  const std::int64_t end = std::min(place(2, size), size);
  if (begin > end) return std::nullopt;
  return substring(call.text(), begin, end);
}

template <bool at_front>
Value affix_method(const Call& call) {
  const Bound bound = call.bind({"prefix", "start", "end"});
  std::int64_t begin = 0;
  const std::optional<std::string_view> text = searched(call, bound, begin);
  const auto has = [&](const Value& affix) {
    const std::string& part = text_of(affix, call.method.name);
    return text && (at_front ? text->starts_with(part) : text->ends_with(part));
  };
  if (const Sequence* list = bound.at(0).list(); list && list->form == Sequence::Form::tuple)
    return std::ranges::any_of(list->items, has);
  return has(bound.at(0));
}

template <bool from_right>
Value find_method(const Call& call) {
  const Bound bound = call.bind({"sub", "start", "end"});
  std::int64_t begin = 0;
  const std::optional<std::string_view> text = searched(call, bound, begin);
  const std::string part = bound.text(0);
  if (text) {
    const std::size_t at = from_right ? find_last(*text, part) : find_first(*text, part);
    if (at != text->npos) return begin + length(text->substr(0, at));
  }
  if (call.method.name == "index") fail(ErrorKind::input, "substring not found");
  return std::int64_t{-1};
}

Value count_method(const Call& call) {
  const Bound bound = call.bind({"sub", "start", "end"});
  std::int64_t begin = 0, count = 0;
  const std::optional<std::string_view> text = searched(call, bound, begin);
  const std::string part = bound.text(0);
  if (!text) return count;
  if (part.empty()) return length(*text) + 1;
  for (std::size_t at = find_first(*text, part); at != text->npos;
       at = find_first(*text, part, at + part.size()))
    ++count;
  return count;
}

Value replace_method(const Call& call) {
  const Bound bound = call.bind({"old", "new", "count"});
  refuse_safe_text(call);
  return replaced(call.text(), bound.text(0), bound.text(1), bound.integer_or(2, -1));
}

Value join_method(const Call& call) {
  refuse_safe_text(call);
  TextBuilder out;
  bool first = true;
  for (const Value& item : items_of(call.bind({"iterable"}).at(0), call.budget)) {
    if (!std::exchange(first, false)) out.add(call.text());
    out.add(text_of(item, "join()"));
  }
  return out.take();
}

template <bool at_front>
Value remove_affix_method(const Call& call) {
  const std::string part = call.bind({"affix"}).text(0);
  const std::string& text = call.text();
  if (at_front) return text_like_own(call, text.starts_with(part) ? text.substr(part.size()) : text);
  return text_like_own(call, text.ends_with(part) ? text.substr(0, text.size() - part.size()) : text);
}

Value splitlines_method(const Call& call) {
  if (call.bind({"keepends"}).truth_or(0, false))
    fail(ErrorKind::unsupported, "splitlines() that keeps the ends is not supported");
  return texts(call, split_lines(call.text()));
}

template <bool (*has)(std::string_view)>
Value question_method(const Call& call) {
  call.bind({});
  return has(call.text());
}

bool is_digits(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) >= 0x80)
      fail(ErrorKind::unsupported, "isdigit() beyond ASCII is not supported");
    if (c < '0' || c > '9') return false;
  }
  return !text.empty();
}

bool is_space(std::string_view text) { return !text.empty() && strip(text).empty(); }

/// "{} {1} {name}", without specifications of width or form.
Value format_method(const Call& call) {
  refuse_safe_text(call);
  const std::string& format = call.text();
  TextBuilder out;
  std::size_t automatic = 0;
  bool has_numbers = false;
  for (std::size_t at = 0; at < format.size();) {
    const std::size_t brace = std::min(format.find_first_of("{}", at), format.size());
    out.add(std::string_view(format).substr(at, brace - at));
    if (brace == format.size()) break;
    if (brace + 1 < format.size() && format[brace + 1] == format[brace]) {
      out.add(std::string_view(format).substr(brace, 1));
      at = brace + 2;
      continue;
    }
    const std::size_t end = format.find('}', brace);
    if (format[brace] == '}' || end == format.npos) fail(ErrorKind::input, "a single brace in a format");
    const std::string field = format.substr(brace + 1, end - brace - 1);
    if (field.find_first_of("{!:.[") != field.npos)
      fail(ErrorKind::unsupported, "the field '{", printable(field, kLongestShown),
           "}' of a format is not supported");
    const bool is_number = field.size() < 5 && field.find_first_not_of("0123456789") == field.npos;
    if (is_number) {
      has_numbers = has_numbers || !field.empty();
      if (has_numbers && (field.empty() || automatic > 0))
        fail(ErrorKind::input, "a format with both '{}' and '{0}'");
      const std::size_t index = field.empty() ? automatic++ : static_cast<std::size_t>(std::stoul(field));
      if (index >= call.arguments.positional.size())
        fail(ErrorKind::input, "not enough arguments for the format");
      out.add(to_text(call.arguments.positional[index]));
    } else {
      const Value* found = find_named(call.arguments, field);
      if (!found)
        fail(ErrorKind::input, "no argument '", printable(field, kLongestShown), "' for the format");
      out.add(to_text(*found));
    }
    at = end + 1;
  }
  return out.take();
}

const std::map<std::string_view, Method>& text_methods() {
  static const std::map<std::string_view, Method> methods = {{"strip", strip_method<Ends::both>},
                                                             {"lstrip", strip_method<Ends::left>},
                                                             {"rstrip", strip_method<Ends::right>},
                                                             {"split", split_method<false>},
                                                             {"rsplit", split_method<true>},
                                                             {"splitlines", splitlines_method},
                                                             {"startswith", affix_method<true>},
                                                             {"endswith", affix_method<false>},
                                                             {"replace", replace_method},
                                                             {"upper", change_method<upper>},
                                                             {"lower", change_method<lower>},
                                                             {"title", change_method<title>},
                                                             {"capitalize", change_method<capitalize>},
                                                             {"find", find_method<false>},
                                                             {"rfind", find_method<true>},
                                                             {"index", find_method<false>},
                                                             {"count", count_method},
                                                             {"join", join_method},
                                                             {"format", format_method},
                                                             {"isdigit", question_method<is_digits>},
                                                             {"islower", question_method<is_lower>},
                                                             {"isupper", question_method<is_upper>},
                                                             {"isspace", question_method<is_space>},
                                                             {"removeprefix", remove_affix_method<true>},
                                                             {"removesuffix", remove_affix_method<false>}};
  return methods;
}

Value call_list_method(const Call& call) {
  const Bound bound = call.bind({"value"});
  const std::vector<Value>& items = call.method.self.list()->items;
  call.budget.spend(items.size() * extent_of(bound.at(0)).weight);
  const auto is_it = [&](const Value& item) { return equal(item, bound.at(0)); };
  if (call.method.name == "count") return std::int64_t{std::ranges::count_if(items, is_it)};
  const auto found = std::ranges::find_if(items, is_it);
  if (found == items.end())
    fail(ErrorKind::input, printable(to_repr(bound.at(0)), kLongestShown), " is not in the list");
  return std::int64_t{found - items.begin()};
}

Value call_dict_method(const Call& call) {
  const Dict& dict = *call.method.self.dict();
  if (call.method.name == "get") {
    const Bound bound = call.bind({"key", "default"});
    require_hashable(bound.at(0));
    if (const Value* found = dict.find(bound.at(0))) return *found;
    return bound.find(1) ? *bound.find(1) : Value();
  }
  call.bind({});
  const std::string& name = call.method.name;
  std::vector<Value> items;
  for (const auto& [key, value] : dict.items)
    items.push_back(name == "keys"     ? key
                    : name == "values" ? value
                                       : Value::sequence({key, value}, Sequence::Form::tuple));
  return Value::sequence(std::move(items), name == "keys"     ? Sequence::Form::keys
                                           : name == "values" ? Sequence::Form::values
                                                              : Sequence::Form::items);
}

}  // namespace

bool is_text_method(std::string_view name) { return text_methods().contains(name); }

Value call_method(const Function& method, const Arguments& arguments, Budget& budget) {
  const Call call{method, arguments, budget};
  budget.spend(extent_of(method.self).weight);
  if (method.self.list()) return call_list_method(call);
  if (method.self.dict()) return call_dict_method(call);
  const auto found = text_methods().find(method.name);
  require(found != text_methods().end(), "a method that is listed and not there: ", method.name);
  return found->second(call);
}

}  // namespace mquant::jinja
