#include "pipeline/preflight.h"

#include <sys/stat.h>

#include "artifact/partial_directory.h"
#include "mquant/artifact.h"
#include "pipeline/coverage.h"
#include "pipeline/estimate.h"
#include "pipeline/format_check.h"
#include "pipeline/head_tie.h"
#include "pipeline/identity.h"
#include "pipeline/memory_budget.h"
#include "pipeline/source_checks.h"
#include "support/paths.h"
#include "support/strings.h"
#include "support/writable.h"

namespace mquant {
namespace {

namespace fs = std::filesystem;

void read_samples_of(const PlanOptions& options, Preflight& work) {
  const CalibrationSettings& settings = work.recipe.calibration;
  work.samples = read_samples(options.data, options.limit > 0 ? options.limit : settings.samples);
  work.features = all_features(*work.source.processor, work.source.model, work.samples, work.with_answer(),
                               {}, Pixels::dropped);
}

bool on_one_disk(const fs::path& a, const fs::path& b) {
  struct stat of_a{}, of_b{};
  return stat(existing_parent(a).c_str(), &of_a) == 0 && stat(existing_parent(b).c_str(), &of_b) == 0 &&
         of_a.st_dev == of_b.st_dev;
}

void check_disk(const PlanOptions& options, const Preflight& work, Obstacles& obstacles) {
  if (options.output.empty() || work.resumed) return;
  const Estimate sum = estimate(work.source, work.recipe, work.features);
  const std::int64_t calibration =
      sum.calibration_bytes + spilled_bytes(sum, state_budget(options.memory_bytes, sum));
  const bool exported = !options.artifact.empty(),
             together = exported && on_one_disk(options.output, options.artifact);
  check_space(options.output, calibration + (together ? sum.artifact_bytes : 0), obstacles);
  if (exported && !together) check_space(options.artifact, sum.artifact_bytes, obstacles);
}

}  // namespace

void check_space(const fs::path& directory, std::int64_t bytes, Obstacles& obstacles) {
  std::error_code error;
  const fs::space_info space = fs::space(existing_parent(directory), error);
  if (error || space.available >= static_cast<std::uintmax_t>(bytes)) return;
  obstacles.add(ErrorKind::resources, "'", directory.string(), "': about ",
                human_bytes(static_cast<std::uint64_t>(bytes)), " will be written there, and its disk has ",
                human_bytes(space.available), " left; make room, or give a directory on another disk");
}

Preflight preflight(const PlanOptions& options) {
  Preflight work{.recipe = load_recipe(options.recipe, options.overrides),
                 .source = open_source(
                     options.model, read_chat_template(options.run.chat_template, options.run.template_date)),
                 .samples = {},
                 .features = {},
                 .resumed = options.resume && CalibrationStore::is_calibration(options.output)};
  settle_embeddings(work.recipe, work.source);
  Obstacles obstacles;
  obstacles.collect([&] { check_headers(work.source, obstacles); });
  check_files(work.source, obstacles);
  check_tokenizer(work.source, obstacles);
  if (!options.data.empty())
    obstacles.collect([&] {
      read_samples_of(options, work);
      check_coverage(work.recipe, work.source.model, work.samples, work.features, obstacles);
    });
  obstacles.collect([&] { check_format(options.format, work.recipe, work.source, obstacles); });
  if (!options.output.empty())
    obstacles.collect([&] {
      expect_short_names(options.output);
      work.resumed ? expect_writable(options.output) : CalibrationStore::expect_new(options.output);
    });
  if (obstacles.none()) check_disk(options, work, obstacles);
  // A usage error is mended at once: no need to wait for a scan.  A calibration that is resumed has passed it, and digests
  // say that the files are the same.
  if (options.deep && !work.resumed && !obstacles.has(ErrorKind::usage))
    check_values(work.source.checkpoint, obstacles);
  obstacles.raise();
  warn_of_source(work.source, options.deep);
  return work;
}

}  // namespace mquant
