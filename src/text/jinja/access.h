// Attributes, subscripts and methods, as the sandbox of Jinja gives them.
#pragma once

#include <string>
#include <string_view>

#include "text/jinja/arguments.h"
#include "text/jinja/budget.h"
#include "text/jinja/value.h"

namespace mquant::jinja {

/// object.name: a method or attribute first, then the item of that name; an undefined value if there is neither.
/// @throws Error{input} for an attribute of an undefined value
///         Error{unsupported} for an attribute that Python has and that is not known here
Value attribute(const Value& object, const std::string& name, Budget& budget);
/// object[key]: the item first, then the attribute.
Value subscript(const Value& object, const Value& key, Budget& budget);
/// object[begin:end:step]; None where one is absent.
Value slice(const Value& object, const Value& begin, const Value& end, const Value& step, Budget& budget);

/// Whether str has a method of this name that is known here.
bool is_text_method(std::string_view name);
/// Calls a method that attribute() gave.
Value call_method(const Function& method, const Arguments& arguments, Budget& budget);

/// A dotted path as filters take it: "function.name", "0", 3.
Value by_path(const Value& object, const Value& path, Budget& budget);

}  // namespace mquant::jinja
