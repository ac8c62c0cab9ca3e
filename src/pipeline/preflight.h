// All that is read and checked before the first block, for inspect, --dry-run and calibrate alike.
#pragma once

#include <vector>

#include "mquant/compile.h"
#include "mquant/recipe.h"
#include "pipeline/obstacles.h"
#include "pipeline/source.h"

namespace mquant {

struct Preflight {
  Recipe recipe;  // schemes settled
  SourceModel source;
  std::vector<Sample> samples;
  std::vector<Features> features;  // sinks not marked yet; without pixels
  bool resumed = false;            // options.output holds a calibration that is continued

  WithAnswer with_answer() const { return recipe.calibration.answers ? WithAnswer::yes : WithAnswer::no; }
};

/// Reads recipe, model and samples, and collects every obstacle: headers against the description, links and
/// permissions of files, tokens without embeddings, coverage of what is quantized, the format, output directories, disk
/// space, and with `deep` the values.
/// Throws as PlanOptions says; warns of what is no obstacle.
Preflight preflight(const PlanOptions& options);

/// Is there room for so many bytes where `directory` is or will be?
void check_space(const std::filesystem::path& directory, std::int64_t bytes, Obstacles& obstacles);

}  // namespace mquant
