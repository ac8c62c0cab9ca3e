// Which residual streams a recipe rotates in a model.
#pragma once

#include <set>
#include <vector>

#include "mquant/compile.h"
#include "mquant/model.h"
#include "mquant/recipe.h"

namespace mquant {

/// Those that `rotate` of the recipe rotates and the family does not exempt; none for a recipe without the pass.
std::set<Space> rotated_streams(const Recipe& recipe, const ModelSpec& model);

/// What a recipe does for each residual stream that quantized linears read, and why.
std::vector<StreamPlan> stream_plans(const Recipe& recipe, const ModelSpec& model);

}  // namespace mquant
