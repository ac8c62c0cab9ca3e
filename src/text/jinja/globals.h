// Functions that every template finds.
#pragma once

#include <cstddef>

#include "text/jinja/arguments.h"
#include "text/jinja/budget.h"

namespace mquant::jinja {

/// range() of Jinja's sandbox: at most 100,000 items.
Value make_range(const Arguments& given);
/// dict(names and a dict).
Value make_dict(const Arguments& given, Budget& budget);
/// What making a dict costs: each key is compared with all before it.
std::size_t steps_of_dict(std::size_t items);

}  // namespace mquant::jinja
