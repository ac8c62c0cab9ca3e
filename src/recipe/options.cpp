#include "recipe/options.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <nlohmann/json.hpp>

#include "mquant/error.h"
#include "support/strings.h"

namespace mquant {
namespace {

[[noreturn]] void wrong_type(const std::string& where, const char* expected, const std::string& found) {
  fail(ErrorKind::usage, where, ": expected ", expected, ", found ", found);
}

Json fallback_of(const PassOption& option) {
  return parse_json(option.fallback, "default of '" + option.name + "'");
}

std::string checked_choice(const PassOption& option, const std::string& text, const std::string& where) {
  const bool known =
      option.choices.empty() || std::ranges::find(option.choices, text) != option.choices.end();
  if (!known) {
    const std::string hint = did_you_mean(text, option.choices);
    fail(ErrorKind::usage, where, ": expected one of ", join(option.choices, ", "), ", found '", text, "'",
         hint);
  }
  return text;
}

/// @param kind  "a number", "an integer"
void check_range(const PassOption& option, double value, std::string_view kind, const std::string& where) {
  if (option.range.contains(value)) return;
  const std::string ends = option.range.text();
  const char* const joint = option.range.or_zero ? ", " : ends.starts_with("at ") ? " of " : " ";
  fail(ErrorKind::usage, where, ": expected ", kind, joint, ends, ", found ", value);
}

/// `value` in the type of the default, and in its range.
Json checked(const PassOption& option, const Json& value, const std::string& where) {
  const Json fallback = fallback_of(option);
  const std::string found = describe(value);
  if (fallback.is_boolean()) {
    if (!value.is_boolean()) wrong_type(where, "true or false", found);
    return value;
  }
  if (fallback.is_number_integer()) {
    const bool too_large =
        value.is_number_unsigned() && value.get<std::uint64_t>() > std::uint64_t{INT64_MAX};
    if (!value.is_number_integer() || too_large) wrong_type(where, "an integer", found);
    check_range(option, value.get<double>(), "an integer", where);
    return value.get<std::int64_t>();
  }
  if (fallback.is_number_float()) {
    if (!value.is_number()) wrong_type(where, "a number", found);
    check_range(option, value.get<double>(), "a number", where);
    return value.get<double>();
  }
  require(fallback.is_string(), where, ": an option is a boolean, a number or a text, not ", option.fallback);
  if (value.is_boolean() && std::ranges::find(option.choices, found) != option.choices.end()) return found;
  if (!value.is_string()) wrong_type(where, "a text", found);
  return checked_choice(option, value.get<std::string>(), where);
}

template <class Number>
Number number_of_text(const std::string& text, const char* expected, const std::string& where) {
  Number value{};
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  const bool finite = std::isfinite(static_cast<double>(value));
  if (error != std::errc{} || stop != end || !finite) wrong_type(where, expected, "'" + text + "'");
  return value;
}

}  // namespace

std::string suggestion(std::string_view word, std::span<const std::string> known) {
  const std::string hint = did_you_mean(word, known);
  if (!hint.empty()) return hint;
  return known.empty() ? " (there are none)" : " (known: " + join(known, ", ") + ")";
}

const PassInfo& pass_info(const std::string& name, const std::string& origin) {
  std::vector<std::string> known;
  for (const PassInfo& info : all_passes()) {
    if (info.name == name) return info;
    known.push_back(info.name);
  }
  fail(ErrorKind::usage, origin, ": no pass '", name, "'", suggestion(name, known));
}

Json completed(const Json& given, std::span<const PassOption> options, const std::string& where) {
  std::vector<std::string> names;
  Json complete = Json::object();
  for (const PassOption& option : options) {
    names.push_back(option.name);
    const bool present = given.contains(option.name);
    complete[option.name] = present ? checked(option, given[option.name], cat(where, ": '", option.name, "'"))
                                    : fallback_of(option);
  }
  for (const auto& [key, value] : given.items()) {
    if (!complete.contains(key)) {
      fail(ErrorKind::usage, where, ": no option '", key, "'", suggestion(key, names));
    }
  }
  return complete;
}

Json value_of_text(const PassOption& option, const std::string& text, const std::string& where) {
  const Json fallback = fallback_of(option);
  if (fallback.is_boolean()) {
    if (text != "true" && text != "false") wrong_type(where, "true or false", "'" + text + "'");
    return text == "true";
  }
  if (fallback.is_number_integer())
    return checked(option, number_of_text<std::int64_t>(text, "an integer", where), where);
  if (fallback.is_number_float())
    return checked(option, number_of_text<double>(text, "a number", where), where);
  return checked(option, text, where);
}

namespace {

constexpr const char* kAll = "all";

TokenClass token_class(const std::string& name, const std::string& where) {
  std::vector<std::string> known;
  for (const TokenClass c : kAllTokenClasses) {
    if (name == token_class_name(c)) return c;
    known.emplace_back(token_class_name(c));
  }
  const std::string classes = join(known, ", ");
  known.emplace_back(kAll);
  fail(ErrorKind::usage, where, ": expected ", kAll, ", or some of ", classes,
       " with commas between them, found '", name, "'", did_you_mean(name, known));
}

}  // namespace

std::set<TokenClass> token_classes(const std::string& text, const std::string& where) {
  if (text == kAll) return {kAllTokenClasses.begin(), kAllTokenClasses.end()};
  std::set<TokenClass> classes;
  for (const std::string& name : split(text, ',')) classes.insert(token_class(name, where));
  if (!classes.contains(TokenClass::text))
    fail(ErrorKind::usage, where, ": expected text among the classes, since decoded tokens are text, found '",
         text, "'");
  return classes;
}

std::string text_of(const std::set<TokenClass>& classes) {
  if (classes.size() == kAllTokenClasses.size()) return kAll;
  std::vector<std::string> names;
  for (const TokenClass c : classes) names.emplace_back(token_class_name(c));
  return join(names, ",");
}

}  // namespace mquant
