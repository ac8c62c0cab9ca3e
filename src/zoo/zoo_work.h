// The jobs of a zoo as they run: their checks first, then stage after stage, each with a record.
#pragma once

#include <filesystem>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "mquant/zoo.h"
#include "zoo/file_lock.h"
#include "zoo/record.h"
#include "zoo/scheduler.h"
#include "zoo/stages.h"
#include "zoo/zoo_file.h"

namespace mquant::zoo {

/// How a job of the report is run.
struct Job {
  JobSpec spec;
  std::vector<Stage> stages;
  Facts facts;
  bool left_out = false;  // by a problem of its own
  // Of the stage that runs.
  std::optional<FileLock> lock;
  bool continues = false;              // something that an earlier run has left
  std::set<std::string> started_over;  // stages that did, since that was damaged
  std::ostringstream* check_stream = nullptr;
  std::string check_log;  // of the check, until there is a directory for it
};

class ZooWork final : public StageWork {
 public:
  /// Reads the zoo file; its problems are the report's.
  ZooWork(const ZooOptions& options, ZooView& view);

  ZooReport& report() { return report_; }
  const Layout& layout() const { return layout_; }

  // Before the work (zoo_plan.cpp).
  /// The checks of all jobs, then what they say of memory and disk together, and which stages need
  /// not run.
  void check();
  /// Problems of single jobs become errors of their checks as well.
  void show_problems();
  /// Jobs with problems do not run, and their problems do not stop the others.
  void leave_out();
  /// Logs of the checks go where logs go, records too.
  void write_checks();

  // From records (zoo_kept.cpp).
  /// Takes the states of all stages from their records, and facts from those of checks; a result
  /// of other inputs, of another program, or of files that are not there any more counts as none.
  void read_records();
  /// Lets a stage run again that has failed.
  /// @throws Error{usage} if no job has it, or where a stage that it needs has not passed
  void expect_runnable(const std::string& stage);

  // The work (zoo_work.cpp).
  /// All stages that are wanted; "": all, else those of that name.
  void run(const std::string& only_stage);

  bool wanted(std::size_t job, const ZooStage& stage) const override;
  std::unique_ptr<std::ostream> begin(std::size_t job, ZooStage& stage) override;
  std::chrono::minutes timeout(std::size_t job) const override {
    return std::chrono::minutes(jobs_[job].spec.values.timeout);
  }
  int threads(std::size_t job) const override { return static_cast<int>(jobs_[job].spec.values.threads); }
  void end(std::size_t job, ZooStage& stage, const StageRun& run) override;

 private:
  enum class Phase { check, run };

  void select(std::vector<JobSpec> specs);
  void check_names();
  void check_places();
  bool share_digests();
  void end_check(std::size_t job, const ZooStage& stage, const StageRun& run);
  void estimate(std::size_t job);
  void check_memory();
  void check_disk();
  void add_problem(std::size_t job, ErrorKind kind, const std::string& message);

  bool still_there(std::size_t job, const Stage& stage, const Record& record) const;
  std::optional<Record> holding_record(std::size_t job, const Stage& stage) const;
  bool is_exported(std::size_t job) const;
  void settle(std::size_t job, StageState when_passed);
  void drop_calibration(std::size_t job);

  void run_scheduler();
  const Stage& stage_of(std::size_t job, const ZooStage& stage) const;
  void prepare_calibration(Job& job, const Stage& stage);
  void prepare_evaluation(Job& job, const Stage& stage, ZooStage& shown) const;
  bool starts_over(std::size_t job, const Stage& stage, ZooStage& shown);
  void expect_same_inputs(std::size_t job, const Stage& stage, ZooStage& shown) const;

  const ZooOptions& options_;
  ZooView& view_;
  Layout layout_;
  ZooReport report_;
  std::vector<Job> jobs_;  // as in the report
  std::string program_;    // its digest
  Phase phase_ = Phase::check;
  std::string only_stage_;
};

/// Of all files of an artifact: their bytes; their names, sizes and times.
std::string digest_of_files(const std::filesystem::path& directory);
std::string digest_of_names(const std::filesystem::path& directory);

}  // namespace mquant::zoo
