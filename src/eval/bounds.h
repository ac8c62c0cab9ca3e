// What an evaluation must reach: whether that can be told, and whether it was.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "mquant/compile.h"
#include "pipeline/obstacles.h"

namespace mquant {

/// @throws Error{usage} for a number out of its range, and for a bound on KL without a reference
void check_bounds(const EvalOptions& options);

/// Bounds that samples with so many answers and tokens, by class, cannot tell.
void check_measurable(const EvalBounds& bounds, std::int64_t answers,
                      const std::map<std::string, std::int64_t>& tokens, Obstacles& obstacles);

/// In the order of EvalBounds.  What was not measured is NaN.
std::vector<BoundResult> judge(const EvalBounds& bounds, const EvalReport& report);

}  // namespace mquant
