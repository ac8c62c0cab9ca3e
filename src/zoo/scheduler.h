// Runs the stages of jobs side by side, each job one stage at a time, within a budget of memory.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "mquant/zoo.h"
#include "zoo/stage_run.h"

namespace mquant::zoo {

/// What a run does around the stages.  Stages and jobs are those of the report.
class StageWork {
 public:
  virtual ~StageWork() = default;
  /// May it run now, as far as its job is concerned?
  virtual bool wanted(std::size_t job, const ZooStage& stage) const = 0;
  /// Sets its commands and what else it needs; @returns where its log goes.
  virtual std::unique_ptr<std::ostream> begin(std::size_t job, ZooStage& stage) = 0;
  virtual std::chrono::minutes timeout(std::size_t job) const = 0;  ///< 0: none
  /// 0: shared out
  virtual int threads(std::size_t job) const = 0;
  /// It has ended; its state says how.
  virtual void end(std::size_t job, ZooStage& stage, const StageRun& run) = 0;
};

struct SchedulerLimits {
  std::filesystem::path program;
  std::string device = "cpu";
  std::size_t jobs = 1;     // side by side
  std::int64_t memory = 0;  // bytes
  int cores = 1;
};

class Scheduler {
 public:
  Scheduler(ZooReport& report, ZooView& view, StageWork& work, SchedulerLimits limits);
  /// Until no stage that is wanted can run.  A stage whose needs did not pass becomes blocked.
  /// After Ctrl-C no stage begins, and report.interrupted is set.
  void run();

 private:
  struct Running {
    std::size_t job;
    ZooStage* stage;
    std::unique_ptr<std::ostream> log;
    std::unique_ptr<StageRun> run;
  };

  bool start_stages();
  ZooStage* next_stage(std::size_t job);
  bool fits(const ZooStage& stage) const;
  void start(std::size_t job, ZooStage& stage);
  void end(Running& running);
  bool has_ended(Running& running);
  void wait();
  int threads_for(std::size_t job);

  ZooReport& report_;
  ZooView& view_;
  StageWork& work_;
  SchedulerLimits limits_;
  std::set<std::size_t> open_;  // jobs that have begun and not ended
  std::list<Running> running_;
  bool crowded_ = false;  // the system had no process for another stage: until one ends
};

}  // namespace mquant::zoo
