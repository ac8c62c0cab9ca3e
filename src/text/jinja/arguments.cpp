#include "text/jinja/arguments.h"

#include <algorithm>

#include "mquant/error.h"

namespace mquant::jinja {

std::size_t weight_of(const Arguments& arguments) {
  std::size_t weight = 0;
  for (const Value& value : arguments.positional) weight += extent_of(value).weight;
  for (const auto& [name, value] : arguments.named) weight += extent_of(value).weight;
  return weight;
}

const Value* find_named(const Arguments& arguments, std::string_view name) {
  const auto found = std::ranges::find(arguments.named, name, &std::pair<std::string, Value>::first);
  return found == arguments.named.end() ? nullptr : &found->second;
}

Bound::Bound(std::string_view function, const Arguments& arguments,
             std::initializer_list<std::string_view> names)
    : function_(function), names_(names.begin(), names.end()), values_(names.size()) {
  if (arguments.positional.size() > names_.size())
    fail(ErrorKind::input, function_, "() takes at most ", names_.size(), " arguments, found ",
         arguments.positional.size());
  std::ranges::copy(arguments.positional, values_.begin());
  for (const auto& [name, value] : arguments.named) {
    const auto at = static_cast<std::size_t>(std::ranges::find(names_, name) - names_.begin());
    if (at == names_.size()) fail(ErrorKind::input, function_, "() has no parameter '", name, "'");
    if (values_[at]) fail(ErrorKind::input, function_, "() got '", name, "' twice");
    values_[at] = value;
  }
}

const Value& Bound::at(std::size_t parameter) const {
  if (!values_[parameter])
    fail(ErrorKind::input, function_, "() lacks its argument '", names_[parameter], "'");
  return *values_[parameter];
}

void Bound::refuse(std::size_t parameter, std::string_view expected) const {
  if (at(parameter).is_undefined()) fail_undefined(at(parameter));
  fail(ErrorKind::input, function_, "(): '", names_[parameter], "': expected ", expected, ", found '",
       type_name(at(parameter)), "'");
}

std::string Bound::text(std::size_t parameter) const {
  if (!at(parameter).text()) refuse(parameter, "a text");
  return *at(parameter).text();
}

std::string Bound::text_or(std::size_t parameter, std::string otherwise) const {
  return values_[parameter] ? text(parameter) : std::move(otherwise);
}

std::optional<std::string> Bound::text_or_none(std::size_t parameter) const {
  if (!values_[parameter] || values_[parameter]->is_none()) return std::nullopt;
  return text(parameter);
}

std::int64_t Bound::integer_or(std::size_t parameter, std::int64_t otherwise) const {
  std::int64_t number = otherwise;
  if (values_[parameter] && !as_integer(*values_[parameter], number)) refuse(parameter, "an integer");
  return number;
}

std::optional<std::int64_t> Bound::integer_or_none(std::size_t parameter) const {
  if (!values_[parameter] || values_[parameter]->is_none()) return std::nullopt;
  return integer_or(parameter, 0);
}

bool Bound::truth_or(std::size_t parameter, bool otherwise) const {
  return values_[parameter] ? is_true(*values_[parameter]) : otherwise;
}

const std::string& text_of(const Value& value, std::string_view what) {
  if (value.is_undefined()) fail_undefined(value);
  if (!value.text()) fail(ErrorKind::input, what, ": expected a text, found '", type_name(value), "'");
  return *value.text();
}

}  // namespace mquant::jinja
