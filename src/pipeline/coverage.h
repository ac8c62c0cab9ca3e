// Do the samples reach all that is going to be quantized, with rows of every token class that the model will meet?
#pragma once

#include <vector>

#include "mquant/model.h"
#include "mquant/recipe.h"
#include "mquant/sample.h"
#include "pipeline/obstacles.h"

namespace mquant {

/// A token class without rows is an obstacle, unless `calibration.classes` leaves it out: its groups would get no scales,
/// and codes that no data has seen.  So is a sample with pictures where visual is left out.  Fewer rows than a group has
/// inputs are a warning, one for the whole model.
/// @param features  of the samples, in their order
void check_coverage(const Recipe& recipe, const ModelSpec& model, const std::vector<Sample>& samples,
                    const std::vector<Features>& features, Obstacles& obstacles);

}  // namespace mquant
