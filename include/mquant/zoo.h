// A zoo: models, recipes and checks in one file.  Each model with each recipe is a job, run stage
// by stage by processes of the program, several jobs side by side.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "mquant/error.h"

namespace mquant {

struct ZooOptions {
  std::filesystem::path file, output;
  std::filesystem::path program = "/proc/self/exe";  // every stage is a process of it
  int threads = 0;                                   // cores of all jobs together; 0: all
  std::uint64_t seed = 0;                            // of jobs that state none
  std::int64_t jobs = 1;                             // at most so many side by side
  std::int64_t memory = 0;        // bytes of all jobs together; 0: nine tenths of what is free
  std::string device = "cpu";     // of every stage
  bool resume = false;            // `output` may hold results; stages whose inputs are the same are kept
  bool keep_going = false;        // problems of one job do not keep the others from running
  std::vector<std::string> only;  // patterns (fnmatch) of job names; none: all
};

enum class StageState {
  waiting,  ///< not begun
  running,
  passed,
  kept,         ///< passed in an earlier run; inputs, recipe and program are the same
  failed,       ///< what it checks is not so: exit code 6
  error,        ///< it could not do its work: bad input, a crash, a kill, too little memory
  interrupted,  ///< stopped; --resume continues
  blocked,      ///< a stage that it needs did not pass
};
/// "passed", "unchanged" for kept ones, "not run" for waiting and blocked ones.
std::string_view state_name(StageState state);
bool is_done(StageState state);  ///< passed or kept

struct StageProgress {
  std::string phase, note;
  std::int64_t done = 0, total = 0;
  std::optional<double> eta_seconds;
};

struct ZooStage {
  std::string name;                                // "calibrate", "export", "eval-digits.mquant"
  std::vector<std::string> needs;                  // stages that must have passed
  std::vector<std::vector<std::string>> commands;  // run one after the other
  StageState state = StageState::waiting;
  int exit_code = 0, signal = 0;          // of the process that ended last; signal 0: none
  double seconds = 0;                     // of wall time
  std::int64_t peak_bytes = 0;            // resident, mapped files included
  std::string error;                      // one line; "" if it passed
  std::vector<std::string> last_lines;    // of the log
  std::map<std::string, double> figures;  // "artifact_bytes", "exact", "perplexity", "kl.text", ...
  StageProgress progress;
  // Estimates.
  std::int64_t memory_bytes = 0, disk_bytes = 0;
  double expected_seconds = 0;  // 0: not known
  std::int64_t threads = 0;     // as the zoo file says; 0: shared out
};

struct ZooJob {
  std::string name, model, recipe;  // name: MODEL.RECIPE
  std::filesystem::path model_path;
  std::vector<ZooStage> stages;
  std::map<std::string, std::filesystem::path> artifacts;  // by format as asked for
  std::filesystem::path log;

  /// That of its stages, the gravest first: error, failed, interrupted, running, waiting, passed,
  /// kept.
  StageState state() const;
  const ZooStage* first_in(StageState state) const;
  /// The first stage that tells why the job did not pass; null if none does.
  const ZooStage* troubled() const;
  /// The one of that name, which it has.
  ZooStage& stage(const std::string& of_name);
  const ZooStage& stage(const std::string& of_name) const;
};

/// What stands in the way of a job, or of the zoo: then `job` is "".
struct ZooProblem {
  std::string job;
  ErrorKind kind = ErrorKind::usage;
  std::string message;
};

struct ZooReport {
  std::filesystem::path file, output;
  std::vector<ZooJob> jobs;
  std::vector<ZooProblem> problems;               // found before the work
  std::int64_t memory_bytes = 0, disk_bytes = 0;  // the budget; what the plan will write
  double seconds = 0;
  bool interrupted = false;

  bool passed() const;
  /// Exit code of the gravest problem; 0 without one.
  int problem_code() const;
};

/// Is told of every change while a zoo runs.
class ZooView {
 public:
  virtual ~ZooView() = default;
  /// A stage has begun or ended.
  virtual void changed(const ZooReport& report, const ZooJob& job, const ZooStage& stage) = 0;
  /// A stage has come further, or time has passed; several times a second.
  virtual void advanced(const ZooReport& report) = 0;
};

/// Files and directories that the jobs of a zoo file read, itself among them: no result may be
/// written there.
/// @throws Error{input} for a file that cannot be read
std::vector<std::filesystem::path> zoo_inputs(const std::filesystem::path& file);

/// Reads the zoo file and runs the checks of every job; writes nothing.  What need not run is
/// StageState::kept; with `keep_going` a job's problem is an error of its check.
/// @throws Error{usage} for a file, or patterns, that name no job.  All else is a problem of the
/// report.
ZooReport plan_zoo(const ZooOptions& options, ZooView& view);

/// Plans and, unless a problem was found, runs all jobs; with `keep_going` it runs the jobs without
/// problems in any case.  Then it writes the results.  An interruption ends the running stages first.
ZooReport run_zoo(const ZooOptions& options, ZooView& view);

/// Runs one stage of the jobs, for engines that have a scheduler of their own; several processes
/// may do so in one output directory.  "report" runs none and writes the results from the records
/// that are there.
/// @throws Error{usage} for a stage that no job has, or one whose needs have not passed
ZooReport run_zoo_stage(const ZooOptions& options, const std::string& stage, ZooView& view);

/// JSON schema of zoo files.
std::string zoo_schema();

/// summary.json, and the plan: jobs with their stages.
std::string zoo_summary(const ZooReport& report);
/// The same as tables of text: a row a job, a row an evaluation.
std::string zoo_screen(const ZooReport& report);

}  // namespace mquant
