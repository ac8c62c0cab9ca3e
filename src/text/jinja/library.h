// Filters and tests.
#pragma once

#include <string>

#include "text/jinja/arguments.h"
#include "text/jinja/budget.h"
#include "text/jinja/value.h"

namespace mquant::jinja {

bool is_filter(const std::string& name);
bool is_test(const std::string& name);

/// Both throw Error{unsupported} for a name that is not known, which map and select may bring.
Value apply_filter(const std::string& name, const Value& subject, const Arguments& arguments, Budget& budget);
bool apply_test(const std::string& name, const Value& subject, const Arguments& arguments, Budget& budget);

struct FilterCall {
  const std::string& name;
  const Value& subject;
  const Arguments& arguments;
  Budget& budget;

  Bound bind(std::initializer_list<std::string_view> names) const { return Bound(name, arguments, names); }
};
using Filter = Value (*)(const FilterCall&);
/// Null if this part of the library has none of that name.
Filter find_text_filter(std::string_view name);
Filter find_list_filter(std::string_view name);

/// {{ value|tojson }} as transformers defines it: json.dumps.
/// @throws Error{input} for what JSON cannot say
std::string to_json(const FilterCall& call);

}  // namespace mquant::jinja
