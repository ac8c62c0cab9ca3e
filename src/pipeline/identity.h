// What a calibration belongs to.
#pragma once

#include <vector>

#include "mquant/artifact.h"
#include "mquant/compile.h"
#include "mquant/recipe.h"
#include "mquant/sample.h"
#include "pipeline/source.h"

namespace mquant {

/// Digests of the model's files and of the samples, the recipe as run, counts of tokens.
RunIdentity identity_of(const SourceModel& source, const CalibrateOptions& options, const Recipe& recipe,
                        const std::vector<Sample>& samples, const std::vector<Features>& features,
                        const SinkRule& sinks);

}  // namespace mquant
