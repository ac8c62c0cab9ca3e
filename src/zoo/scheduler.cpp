#include "zoo/scheduler.h"

#include <poll.h>

#include <algorithm>
#include <iterator>

#include "mquant/error.h"
#include "mquant/log.h"
#include "support/memory.h"

namespace mquant::zoo {
namespace {

constexpr int kTickMilliseconds = 200;

/// A stage that cannot run any more is told apart from one whose turn has not come.
void block_stages(ZooJob& job) {
  using enum StageState;
  for (ZooStage& stage : job.stages)
    if (stage.state == waiting && std::ranges::any_of(stage.needs, [&](const std::string& need) {
          const StageState state = job.stage(need).state;
          return state == failed || state == error || state == blocked;
        }))
      stage.state = blocked;
}

}  // namespace

Scheduler::Scheduler(ZooReport& report, ZooView& view, StageWork& work, SchedulerLimits limits)
    : report_(report), view_(view), work_(work), limits_(std::move(limits)) {}

void Scheduler::run() {
  while (true) {
    if (interrupt_requested() && !report_.interrupted) {
      report_.interrupted = true;
      for (Running& running : running_) running.run->interrupt();
    }
    while (!report_.interrupted && start_stages()) {
    }
    if (running_.empty()) return;
    wait();
    view_.advanced(report_);
  }
}

ZooStage* Scheduler::next_stage(std::size_t index) {
  ZooJob& job = report_.jobs[index];
  block_stages(job);
  const auto found = std::ranges::find_if(job.stages, [&](const ZooStage& stage) {
    return stage.state == StageState::waiting && work_.wanted(index, stage) &&
           std::ranges::all_of(stage.needs,
                               [&](const std::string& need) { return is_done(job.stage(need).state); });
  });
  return found == job.stages.end() ? nullptr : &*found;
}

bool Scheduler::fits(const ZooStage& stage) const {
  if (running_.empty()) return true;  // the plan has seen that it fits alone
  std::int64_t taken = stage.memory_bytes;
  for (const Running& running : running_) taken += running.stage->memory_bytes;
  return taken <= limits_.memory && stage.memory_bytes <= available_memory();
}

/// @returns whether to look again: a stage that could not begin has left room for another one
bool Scheduler::start_stages() {
  bool again = false;
  for (std::size_t job = 0; job < report_.jobs.size() && !crowded_; ++job) {
    if (std::ranges::find(running_, job, &Running::job) != running_.end()) continue;
    ZooStage* const stage = next_stage(job);
    if (stage == nullptr) {
      open_.erase(job);
    } else if ((open_.contains(job) || open_.size() < limits_.jobs) && fits(*stage)) {
      open_.insert(job);
      start(job, *stage);
      again = again || stage->state == StageState::error;
    }
  }
  return again;
}

/// The cores are shared out among the jobs that can still run side by side: results do not depend
/// on it.
int Scheduler::threads_for(std::size_t job) {
  if (const int stated = work_.threads(job); stated > 0) return stated;
  std::size_t left = 0;
  for (std::size_t i = 0; i < report_.jobs.size(); ++i)
    left += i == job || open_.contains(i) || next_stage(i) != nullptr ? 1 : 0;
  return std::max(1, limits_.cores / static_cast<int>(std::min(limits_.jobs, left)));
}

/// What goes wrong outside a stage's process is that job's alone.
void Scheduler::start(std::size_t job, ZooStage& stage) {
  const int threads = threads_for(job);
  try {
    std::unique_ptr<std::ostream> log = work_.begin(job, stage);
    auto run = std::make_unique<StageRun>(
        stage, *log, StageRunOptions{limits_.program, limits_.device, threads, work_.timeout(job)});
    running_.push_back({job, &stage, std::move(log), std::move(run)});
  } catch (const std::exception& error) {
    const auto* const known = dynamic_cast<const Error*>(&error);
    crowded_ = known != nullptr && known->kind() == ErrorKind::resources && !running_.empty();
    stage.state = crowded_ ? StageState::waiting : StageState::error;
    stage.error = crowded_ ? "" : error.what();
    if (crowded_) return;
  }
  view_.changed(report_, report_.jobs[job], stage);
}

void Scheduler::end(Running& running) {
  try {
    work_.end(running.job, *running.stage, *running.run);
  } catch (const std::exception& error) {  // a record that cannot be written
    running.stage->state = StageState::error;
    running.stage->error = error.what();
  }
  crowded_ = false;
  view_.changed(report_, report_.jobs[running.job], *running.stage);
}

bool Scheduler::has_ended(Running& running) {
  try {
    return running.run->step();
  } catch (const std::exception& error) {  // no process for its next command
    running.stage->state = StageState::error;
    running.stage->error = error.what();
    return true;
  }
}

void Scheduler::wait() {
  struct Source {
    Running* running;
    ChildProcess::Stream stream;
  };
  std::vector<pollfd> descriptors;
  std::vector<Source> sources;
  for (Running& running : running_)
    for (const auto stream : {ChildProcess::out, ChildProcess::err})
      if (const int descriptor = running.run->child().descriptors()[stream]; descriptor >= 0) {
        descriptors.push_back({descriptor, POLLIN, 0});
        sources.push_back({&running, stream});
      }
  if (poll(descriptors.data(), descriptors.size(), kTickMilliseconds) > 0)
    for (std::size_t i = 0; i < descriptors.size(); ++i)
      if (descriptors[i].revents != 0) sources[i].running->run->read(sources[i].stream);
  for (auto at = running_.begin(); at != running_.end();) {
    const auto next = std::next(at);
    if (has_ended(*at)) {
      end(*at);
      running_.erase(at);
    }
    at = next;
  }
}

}  // namespace mquant::zoo
