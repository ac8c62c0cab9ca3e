// Bytes, memory and work, from headers and features alone.
#pragma once

#include <cstdint>
#include <vector>

#include "mquant/compile.h"
#include "mquant/recipe.h"
#include "pipeline/source.h"

namespace mquant {

/// Resident before any tensor: 125 to 160 MB with the smallest models.
inline constexpr std::int64_t kLibraryBytes = std::int64_t{140} << 20;

struct Estimate {
  std::vector<BlockPlan> blocks;
  std::int64_t parameters = 0, source_bytes = 0, artifact_bytes = 0;
  std::int64_t calibration_bytes = 0;  // on disk: blocks, and the samples' states twice
  std::int64_t block_bytes = 0;        // of memory: the largest block while it is worked on
  std::int64_t state_bytes = 0;        // all samples where they take most
  double operations = 0;               // floating point
};

/// Numbers that a block holds: weights, biases, norms, parameters.
std::int64_t parameters_of(const BlockSpec& spec);

/// @param features  of the samples; none: 128 samples of 1024 tokens are assumed
Estimate estimate(const SourceModel& source, const Recipe& recipe, const std::vector<Features>& features);

}  // namespace mquant
