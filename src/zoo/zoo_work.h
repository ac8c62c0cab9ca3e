// The jobs of a zoo as they run: their checks first, then stage after stage, each with a record.
#pragma once

#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "mquant/zoo.h"
#include "zoo/scheduler.h"
#include "zoo/stages.h"
#include "zoo/zoo_file.h"

namespace mquant::zoo {

/// A job of the report, and what stands behind it.
struct Job {
  JobSpec spec;
  std::vector<Stage> stages;
  Facts facts;
  bool left_out = false;                       // by a problem of its own
  std::ostringstream* check_stream = nullptr;  // while the check runs
  std::string check_log;                       // until there is a directory for it
};

class ZooWork final : public StageWork {
 public:
  /// Reads the zoo file; its problems are the report's.
  ZooWork(const ZooOptions& options, ZooView& view);

  ZooReport& report() { return report_; }
  const Layout& layout() const { return layout_; }

  /// The checks of all jobs, then what they say of memory and disk together.
  void check();
  /// Problems of single jobs become errors of their checks, and the jobs are left out.
  void leave_out();
  /// Takes the states of all stages from their records, and facts from those of checks; a result of other inputs, or of
  /// another program, counts as none.
  void read_records();
  /// Lets a stage run again that has failed.  @throws Error{usage} if no job has it, or where what it needs has not passed
  void expect_runnable(const std::string& stage);
  /// All stages that are wanted; "": all, else those of that name.
  void run(const std::string& only_stage);
  /// Logs of the checks go where logs go, records too.
  void write_checks();

  bool wanted(std::size_t job, const ZooStage& stage) const override;
  std::unique_ptr<std::ostream> begin(std::size_t job, ZooStage& stage) override;
  std::chrono::minutes timeout(std::size_t job) const override {
    return std::chrono::minutes(jobs_[job].spec.values.timeout);
  }
  int threads(std::size_t job) const override { return static_cast<int>(jobs_[job].spec.values.threads); }
  void end(std::size_t job, ZooStage& stage, const StageRun& run) override;

 private:
  enum class Phase { check, run };

  const Stage& stage_of(std::size_t job, const ZooStage& stage) const;
  void select(std::vector<JobSpec> specs);
  void check_names();
  void run_scheduler();
  void add_problem(std::size_t job, ErrorKind kind, const std::string& message);
  bool share_digests();
  void end_check(std::size_t job, ZooStage& stage, const StageRun& run);
  void plan_resources();
  void find_kept();
  void check_disk();
  std::filesystem::path made_by(std::size_t job, const Stage& stage) const;
  bool is_kept(std::size_t job, const Stage& stage) const;
  void prepare_calibration(const Job& job);
  void prepare_evaluation(const Job& job, const Stage& stage, ZooStage& shown) const;
  void drop_calibration(std::size_t job);

  const ZooOptions& options_;
  ZooView& view_;
  Layout layout_;
  ZooReport report_;
  std::vector<Job> jobs_;  // as in the report
  std::string program_;    // its digest
  Phase phase_ = Phase::check;
  std::string only_stage_;
};

}  // namespace mquant::zoo
