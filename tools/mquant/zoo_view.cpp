#include "zoo_view.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "mquant/error.h"
#include "mquant/log.h"
#include "support/strings.h"
#include "support/table.h"

namespace mquant::cli {
namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;
using Style = console::Style;
using enum Table::Align;

std::string duration(double seconds) { return human_duration(std::chrono::duration<double>(seconds)); }

std::string progress_text(const StageProgress& progress) {
  if (progress.total == 0) return "";
  return cat(progress.done, "/", progress.total, progress.note.empty() ? "" : " ", progress.note);
}

std::string eta_text(const ZooStage& stage) {
  const StageProgress& progress = stage.progress;
  return progress.eta_seconds && progress.done < progress.total ? duration(*progress.eta_seconds) : "";
}

/// The stage that a row shows: the one that runs, else the one that tells most.
const ZooStage* shown_stage(const ZooJob& job) {
  const ZooStage* const running = job.first_in(StageState::running);
  return running != nullptr ? running : job.troubled();
}

std::string result_text(const ZooJob& job) {
  const StageState state = job.state();
  if (state == StageState::running) return "";
  return state == StageState::waiting ? "waiting" : std::string(state_name(state));
}

/// All jobs in the order of the zoo, or, where the terminal is too small, those that run first and
/// then those in trouble.
std::vector<const ZooJob*> shown_jobs(const ZooReport& report, std::size_t most) {
  std::vector<const ZooJob*> jobs;
  for (const ZooJob& job : report.jobs) jobs.push_back(&job);
  if (jobs.size() <= most) return jobs;
  std::ranges::stable_sort(jobs, {}, [](const ZooJob* job) {
    if (job->first_in(StageState::running) != nullptr) return 0;
    return shown_stage(*job) != nullptr ? 1 : job->state() == StageState::waiting ? 2 : 3;
  });
  jobs.resize(std::max<std::size_t>(1, most - 1));  // a line tells how many there are
  return jobs;
}

std::string live_table(const ZooReport& report) {
  Table table({{"job"}, {"stage"}, {"progress"}, {"left", right}, {"result"}});
  const std::vector<const ZooJob*> jobs = shown_jobs(report, console::rows() - 1);
  for (const ZooJob* const job : jobs) {
    const bool running = job->first_in(StageState::running) != nullptr;
    const ZooStage* const stage = shown_stage(*job);
    table.row({job->name, stage == nullptr ? "" : stage->name, running ? progress_text(stage->progress) : "",
               running ? eta_text(*stage) : "", result_text(*job)});
  }
  std::string text = table.text();
  if (jobs.size() < report.jobs.size()) {
    const auto done =
        std::ranges::count_if(report.jobs, [](const ZooJob& job) { return is_done(job.state()); });
    text += cat("and ", counted(std::ssize(report.jobs) - std::ssize(jobs), "more job"), "; ", done, " of ",
                report.jobs.size(), " have passed\n");
  }
  text.pop_back();
  return text;
}

void write(const Json& event) {
  console::write_line(event.dump(-1, ' ', false, Json::error_handler_t::replace));
}

}  // namespace

void ZooScreen::changed(const ZooReport& report, const ZooJob& job, const ZooStage& stage) {
  const bool begins = stage.state == StageState::running, well = is_done(stage.state);
  if (console::style() == Style::json) {
    write({{"event", "stage"},
           {"job", job.name},
           {"stage", stage.name},
           {"state", begins ? "running" : std::string(state_name(stage.state))},
           {"seconds", stage.seconds},
           {"peak_bytes", stage.peak_bytes},
           {"error", stage.error}});
    return;
  }
  if (begins) {
    if (console::style() == Style::plain) info(cat(job.name, ": ", stage.name));
  } else if (!well && !stage.error.empty()) {
    warn(cat(job.name, ": ", stage.name, ": ", stage.error));
  } else if (console::style() == Style::plain) {
    info(cat(job.name, ": ", stage.name, well ? " passed in " : cat(": ", state_name(stage.state), " after "),
             duration(stage.seconds)));
  }
  if (console::style() == Style::status_line) console::set_status(live_table(report));
}

bool ZooScreen::is_due(Clock::duration every) {
  const auto now = Clock::now();
  if (now - shown_ < every) return false;
  shown_ = now;
  return true;
}

void ZooScreen::advanced(const ZooReport& report) {
  using std::chrono::seconds;
  const Style style = console::style();
  if (style == Style::none || !is_due(style == Style::plain ? seconds(60) : seconds(1))) return;
  if (style == Style::status_line) {
    if (console::shows(LogLevel::info)) console::set_status(live_table(report));
    return;
  }
  for (const ZooJob& job : report.jobs) {
    const ZooStage* const stage = job.first_in(StageState::running);
    if (stage == nullptr || stage->progress.total == 0) continue;
    const StageProgress& progress = stage->progress;
    if (style == Style::json) {
      write({{"event", "progress"},
             {"job", job.name},
             {"stage", stage->name},
             {"phase", progress.phase},
             {"done", progress.done},
             {"total", progress.total},
             {"elapsed_s", stage->seconds},
             {"eta_s", progress.eta_seconds ? Json(*progress.eta_seconds) : Json()},
             {"note", progress.note}});
    } else if (const std::string text = progress_text(progress); !text.empty()) {
      const std::string left = eta_text(*stage);
      info(cat(job.name, ": ", stage->name, ": ", text, left.empty() ? "" : cat(", ", left, " left")));
    }
  }
}

void ZooScreen::end() { console::set_status(""); }

}  // namespace mquant::cli
