// Will a format hold what a recipe makes of a model?  Told from the description, before the work.
#pragma once

#include <string>
#include <vector>

#include "mquant/artifact.h"
#include "mquant/recipe.h"
#include "pipeline/obstacles.h"
#include "pipeline/source.h"

namespace mquant {

/// What the format will say of the calibration: it is asked about an outline of the blocks, without codes.
std::vector<std::string> foreseen_refusals(const FormatInfo& format, const Recipe& recipe,
                                           const SourceModel& source);

/// All reasons for which the format will refuse the result are one obstacle, with a recipe that it takes.
/// @param format  a name, or "auto", which always finds one; throws Error{usage} for others
void check_format(const std::string& format, const Recipe& recipe, const SourceModel& source,
                  Obstacles& obstacles);

}  // namespace mquant
