// Which residual streams a recipe rotates in a model.
#pragma once

#include <algorithm>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

#include "mquant/compile.h"
#include "mquant/model.h"
#include "mquant/recipe.h"

namespace mquant {

/// The options of a pass; nullopt if the recipe does not have it.
template <class Options>
std::optional<Options> options_of(const Recipe& recipe, std::string_view pass) {
  const auto it = std::ranges::find(recipe.passes, pass, &PassConfig::name);
  return it == recipe.passes.end() ? std::nullopt : std::optional(read_options<Options>(it->options));
}

/// Those that `rotate` of the recipe turns and the family does not exempt; none for a recipe without the pass.
std::set<Space> rotated_streams(const Recipe& recipe, const ModelSpec& model);

/// What a recipe does for each residual stream that quantized linears read, and why.
std::vector<StreamPlan> stream_plans(const Recipe& recipe, const ModelSpec& model);

}  // namespace mquant
