// The jobs of `mquant zoo` as library calls.
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "mquant/error.h"
#include "mquant/zoo.h"
#include "support/atomic_file.h"
#include "support/timer.h"
#include "support/writable.h"
#include "zoo/results.h"
#include "zoo/zoo_work.h"

namespace mquant {

namespace fs = std::filesystem;
namespace {

using zoo::Layout;
using zoo::ZooWork;

bool is_empty_or_absent(const fs::path& directory) {
  return !fs::exists(directory) || (fs::is_directory(directory) && fs::is_empty(directory));
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

/// The output directory while it is written: one zoo at a time, or stages side by side.
class Occupied {
 public:
  enum class By { zoo, stage };

  Occupied(const Layout& layout, By who) {
    for (const char* folder : {"jobs", "logs", "artifacts"}) fs::create_directories(layout.output() / folder);
    const fs::path marker = layout.marker();
    file_ = open(marker.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (file_ < 0)
      fail(ErrorKind::resources, "cannot write '", marker.string(), "': ", std::strerror(errno));
    if (flock(file_, (who == By::zoo ? LOCK_EX : LOCK_SH) | LOCK_NB) != 0) {
      close(file_);
      fail(ErrorKind::usage, "'", layout.output().string(), "' is being written by another mquant zoo");
    }
  }
  ~Occupied() { close(file_); }
  Occupied(const Occupied&) = delete;
  Occupied& operator=(const Occupied&) = delete;

 private:
  int file_ = -1;
};

ZooReport finished(ZooWork& work, const Stopwatch& watch) {
  work.report().seconds = watch.seconds();
  return std::move(work.report());
}

}  // namespace

ZooReport plan_zoo(const ZooOptions& options, ZooView& view) {
  const Stopwatch watch;
  ZooWork work(options, view);
  if (work.report().problems.empty()) work.check();
  return finished(work, watch);
}

ZooReport run_zoo(const ZooOptions& options, ZooView& view) {
  const Stopwatch watch;
  ZooWork work(options, view);
  expect_output_directory(options, work.layout(), options.resume);
  if (!work.report().problems.empty()) return finished(work, watch);
  std::optional<Occupied> occupied;
  if (!is_empty_or_absent(options.output)) occupied.emplace(work.layout(), Occupied::By::zoo);
  work.check();
  if (options.keep_going) work.leave_out();
  if (work.report().interrupted || !work.report().problems.empty()) return finished(work, watch);
  if (!occupied) occupied.emplace(work.layout(), Occupied::By::zoo);
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
  if (!work.report().problems.empty()) return finished(work, watch);
  if (stage == zoo::kCheckStage) {
    work.check();
    work.leave_out();
    if (work.report().interrupted || !work.report().problems.empty()) return finished(work, watch);
    const Occupied occupied(work.layout(), Occupied::By::stage);
    work.write_checks();
    return finished(work, watch);
  }
  const Occupied occupied(work.layout(), Occupied::By::stage);
  work.read_records();
  if (stage == "report") {
    zoo::write_results(work.report());
    return finished(work, watch);
  }
  work.expect_runnable(stage);
  work.run(stage);
  return finished(work, watch);
}

}  // namespace mquant
