// Operators of Python on values.
#pragma once

#include <string>
#include <string_view>

#include "text/jinja/arguments.h"
#include "text/jinja/value.h"

namespace mquant::jinja {

/// + - * / // % **.
/// @throws Error{input} for types that Python refuses, a division by zero, a result that is too long
///         Error{unsupported} for integers beyond 64 bits
Value arithmetic(std::string_view sign, const Value& a, const Value& b);
Value minus(const Value& value);
Value plus(const Value& value);

/// `item in container`.  An iterator is used up to where the item is found.
bool contains(const Value& container, const Value& item);
/// == != < <= > >= in, not in
bool compare(std::string_view sign, const Value& a, const Value& b);

/// "%s: %d" % (a, b): %s %r %d %i %f, with width, precision, and zeros or '-' in front; %%.
/// @param all_used  Error{input} if an argument is left over
std::string percent_format(const std::string& format, const Arguments& arguments, bool all_used = true);

}  // namespace mquant::jinja
