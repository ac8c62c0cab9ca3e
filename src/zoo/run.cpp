// The jobs of `mquant zoo` as library calls.
#include <algorithm>
#include <optional>

#include "mquant/error.h"
#include "mquant/recipe.h"
#include "mquant/zoo.h"
#include "support/atomic_file.h"
#include "support/timer.h"
#include "support/writable.h"
#include "zoo/file_lock.h"
#include "zoo/results.h"
#include "zoo/zoo_work.h"

namespace mquant {

namespace fs = std::filesystem;
namespace {

using zoo::FileLock;
using zoo::Layout;
using zoo::ZooWork;

/// Hidden entries do not count: version control and engines have such.
bool is_empty_or_absent(const fs::path& directory) {
  if (!fs::exists(directory)) return true;
  return fs::is_directory(directory) &&
         std::ranges::all_of(fs::directory_iterator(directory), [](const fs::directory_entry& entry) {
           return entry.path().filename().string().starts_with('.');
         });
}

/// What can be told before anything is made.
void expect_output_directory(const ZooOptions& options, const Layout& layout, bool continues) {
  expect_short_names(options.output);
  expect_no_dead_link(options.output);
  if (is_empty_or_absent(options.output)) {
    if (fs::exists(options.output)) return expect_writable_directory(options.output);
    return expect_creatable(options.output);
  }
  if (!fs::is_directory(options.output))
    fail(ErrorKind::usage, "--output '", options.output.string(), "' is not a directory");
  if (!fs::exists(layout.marker()))
    fail(ErrorKind::usage, "--output '", options.output.string(),
         "' holds files that are not those of a zoo; give a new or an empty directory");
  if (!continues)
    fail(ErrorKind::usage, "--output '", options.output.string(),
         "' holds the results of a zoo; say --resume to continue it, or give another directory");
  expect_writable_directory(options.output);
}

/// The output directory while it is written: by one zoo at a time, or by stages side by side.
FileLock occupy(const Layout& layout, FileLock::Kind kind) {
  fs::create_directories(layout.output());
  FileLock lock = FileLock::now(
      layout.marker(), kind, cat("'", layout.output().string(), "' is being written by another mquant zoo"));
  for (const char* folder : {"jobs", "logs", "artifacts"}) fs::create_directories(layout.output() / folder);
  return lock;
}

ZooReport finished(ZooWork& work, const Stopwatch& watch) {
  work.report().seconds = watch.seconds();
  return std::move(work.report());
}

}  // namespace

ZooReport plan_zoo(const ZooOptions& options, ZooView& view) {
  const Stopwatch watch;
  ZooWork work(options, view);
  expect_output_directory(options, work.layout(), true);
  if (!work.report().problems.empty()) return finished(work, watch);
  work.check();
  options.keep_going ? work.leave_out() : work.show_problems();
  return finished(work, watch);
}

ZooReport run_zoo(const ZooOptions& options, ZooView& view) {
  const Stopwatch watch;
  ZooWork work(options, view);
  expect_output_directory(options, work.layout(), options.resume);
  std::optional<FileLock> occupied;
  if (!is_empty_or_absent(options.output)) {
    occupied.emplace(occupy(work.layout(), FileLock::Kind::exclusive));
    zoo::remove_results(options.output);
  }
  if (work.report().problems.empty()) work.check();
  if (options.keep_going && !work.report().interrupted) work.leave_out();
  if (work.report().interrupted || !work.report().problems.empty()) {
    work.show_problems();
    if (occupied) zoo::write_results(work.report());
    return finished(work, watch);
  }
  if (!occupied) occupied.emplace(occupy(work.layout(), FileLock::Kind::exclusive));
  work.write_checks();
  work.run("");
  work.report().seconds = watch.seconds();
  zoo::write_results(work.report());
  return finished(work, watch);
}

ZooReport run_zoo_stage(const ZooOptions& options, const std::string& stage, ZooView& view) {
  const Stopwatch watch;
  ZooWork work(options, view);
  expect_output_directory(options, work.layout(), true);
  if (stage == zoo::kCheckStage) {
    if (work.report().problems.empty()) work.check();
    if (!work.report().interrupted) work.leave_out();
    if (work.report().interrupted || !work.report().problems.empty()) return finished(work, watch);
    const FileLock occupied = occupy(work.layout(), FileLock::Kind::shared);
    work.write_checks();
    return finished(work, watch);
  }
  if (!work.report().problems.empty()) return finished(work, watch);
  const FileLock occupied = occupy(work.layout(), FileLock::Kind::shared);
  work.read_records();
  if (stage == "report") {
    zoo::write_results(work.report());
    return finished(work, watch);
  }
  work.expect_runnable(stage);
  work.run(stage);
  return finished(work, watch);
}

std::vector<fs::path> zoo_inputs(const fs::path& file) {
  std::vector<ZooProblem> ignored;  // told when it is run
  std::vector<fs::path> inputs = {file};
  for (const zoo::JobSpec& job : zoo::read_zoo(file, 0, ignored)) {
    inputs.insert(inputs.end(), {job.model, job.values.data});
    if (!job.values.chat_template.empty()) inputs.emplace_back(job.values.chat_template);
    if (is_recipe_path(job.recipe)) inputs.emplace_back(job.recipe);
    for (const zoo::Check& check : job.checks)
      if (check.kind == zoo::Check::Kind::eval) inputs.push_back(check.data);
  }
  return inputs;
}

}  // namespace mquant
