// Arguments of a call, and how they meet parameters.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/value.h"

namespace mquant::jinja {

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

std::size_t weight_of(const Arguments& arguments);
/// The argument that is given by this name; null if there is none.
const Value* find_named(const Arguments& arguments, std::string_view name);

/// The arguments of a function by the names of its parameters.
class Bound {
 public:
  /// Throws Error{input} for too many arguments, an unknown name, or a parameter that is given twice.
  Bound(std::string_view function, const Arguments& arguments, std::initializer_list<std::string_view> names);

  /// Null if it is not given.
  const Value* find(std::size_t parameter) const {
    return values_[parameter] ? &*values_[parameter] : nullptr;
  }
  /// Throws Error{input} if it is not given.
  const Value& at(std::size_t parameter) const;
  /// These throw Error{input} for another type.  None counts as not given only where the name says `or_none`.
  std::string text(std::size_t parameter) const;
  std::string text_or(std::size_t parameter, std::string otherwise) const;
  std::optional<std::string> text_or_none(std::size_t parameter) const;
  std::int64_t integer_or(std::size_t parameter, std::int64_t otherwise) const;
  std::optional<std::int64_t> integer_or_none(std::size_t parameter) const;
  bool truth_or(std::size_t parameter, bool otherwise) const;

 private:
  [[noreturn]] void refuse(std::size_t parameter, std::string_view expected) const;
  std::string function_;
  std::vector<std::string> names_;
  std::vector<std::optional<Value>> values_;
};

/// The text of a value that must be one.  Throws Error{input} otherwise.
const std::string& text_of(const Value& value, std::string_view what);

}  // namespace mquant::jinja
