// Before the work of a zoo: which jobs there are, what their checks say, whether all of it fits.
#include <fnmatch.h>
#include <signal.h>

#include <algorithm>
#include <fstream>

#include "mquant/error.h"
#include "support/memory.h"
#include "support/paths.h"
#include "support/strings.h"
#include "support/writable.h"
#include "zoo/zoo_work.h"

namespace mquant::zoo {
namespace fs = std::filesystem;
namespace {

bool chosen_by(const std::string& pattern, const std::string& name) {
  return fnmatch(pattern.c_str(), name.c_str(), 0) == 0;
}

bool lies_in(const fs::path& path, const fs::path& directory) {
  std::error_code error;
  const fs::path inner = fs::weakly_canonical(fs::absolute(path), error),
                 outer = fs::weakly_canonical(fs::absolute(directory), error);
  return std::ranges::mismatch(outer, inner).in1 == outer.end();
}

std::string bytes_text(std::int64_t bytes) { return human_bytes(static_cast<std::uint64_t>(bytes)); }

}  // namespace

ZooWork::ZooWork(const ZooOptions& options, ZooView& view)
    : options_(options),
      view_(view),
      layout_(fs::absolute(options.output)),
      program_(digest_of_program(program_files())) {
  report_.file = options.file;
  report_.output = options.output;
  constexpr double kShare = 0.9;
  report_.memory_bytes = options.memory > 0
                             ? options.memory
                             : static_cast<std::int64_t>(kShare * static_cast<double>(available_memory()));
  select(read_zoo(options.file, options.seed, report_.problems));
}

void ZooWork::select(std::vector<JobSpec> specs) {
  std::vector<std::string> names;
  for (const JobSpec& spec : specs) names.push_back(spec.name);
  for (const std::string& pattern : options_.only)
    if (!names.empty() &&
        std::ranges::none_of(names, [&](const std::string& name) { return chosen_by(pattern, name); }))
      fail(ErrorKind::usage, "--only '", pattern, "': no job matches it", did_you_mean(pattern, names),
           " (jobs: ", join(names, ", "), ")");
  jobs_.reserve(specs.size());  // stages point into their specs
  for (JobSpec& spec : specs) {
    if (!options_.only.empty() && std::ranges::none_of(options_.only, [&](const std::string& pattern) {
          return chosen_by(pattern, spec.name);
        }))
      continue;
    Job& job = jobs_.emplace_back();
    job.spec = std::move(spec);
    job.stages = stages_of(job.spec);
    ZooJob& reported = report_.jobs.emplace_back();
    reported.name = job.spec.name;
    reported.model = job.spec.model_name;
    reported.recipe = job.spec.recipe_name;
    reported.model_path = job.spec.model;
    reported.log = layout_.log(job.spec.name);
    for (const std::string& format : job.spec.formats)
      reported.artifacts[format] = layout_.artifact(job.spec.name, format);
    for (const Stage& stage : job.stages) {
      ZooStage& of_report = reported.stages.emplace_back();
      of_report.name = stage.name;
      of_report.needs = stage.needs;
      of_report.threads = job.spec.values.threads;
      of_report.commands = commands_of(job.spec, stage, layout_);
      of_report.memory_bytes = memory_of(job.spec, stage, job.facts);
    }
  }
  check_names();
  check_places();
}

/// Names are made of several, and a disk has a limit for each.
void ZooWork::check_names() {
  constexpr const char* kLongest = ".0123456789abcdef.journal";  // after the name of a stage, at most
  for (std::size_t i = 0; i < jobs_.size(); ++i) {
    const std::string& name = jobs_[i].spec.name;
    try {
      for (const Stage& stage : jobs_[i].stages)
        expect_short_names(layout_.folder(name) / (stage.name + kLongest));
      for (const auto& [format, artifact] : report_.jobs[i].artifacts)
        expect_short_names(artifact.parent_path() / cat(".", artifact.filename().string(), ".partial"));
    } catch (const Error& error) {
      add_problem(i, error.kind(), error.what());
    }
  }
}

void ZooWork::check_places() {
  for (std::size_t i = 0; i < jobs_.size(); ++i)
    if (lies_in(layout_.output(), jobs_[i].spec.model))
      add_problem(i, ErrorKind::usage,
                  cat("--output '", options_.output.string(), "' lies in its model, '",
                      jobs_[i].spec.model.string(), "'; give another directory"));
}

void ZooWork::add_problem(std::size_t job, ErrorKind kind, const std::string& message) {
  report_.problems.push_back({report_.jobs[job].name, kind, message});
}

void ZooWork::check() {
  phase_ = Phase::check;
  // The bytes of a model are read once, by the first of its jobs; another one does where that
  // one's check fails.
  while (share_digests() && !report_.interrupted) run_scheduler();
  if (report_.interrupted) return;
  for (std::size_t i = 0; i < jobs_.size(); ++i) {
    if (report_.jobs[i].stage(kCheckStage).state != StageState::passed) continue;
    estimate(i);
    settle(i, StageState::kept);
  }
  check_memory();
  check_disk();
}

/// Gives each job the digest of its model if some job has it.
/// @returns whether checks are still to run
bool ZooWork::share_digests() {
  bool waits = false;
  std::map<fs::path, std::string> known;  // "": somebody will find it out
  for (const Job& job : jobs_)
    if (!job.facts.model.empty()) known[job.spec.model] = job.facts.model;
  for (std::size_t i = 0; i < jobs_.size(); ++i) {
    Job& job = jobs_[i];
    ZooStage& stage = report_.jobs[i].stage(kCheckStage);
    const auto found = known.find(job.spec.model);
    if (job.facts.model.empty() && found != known.end() && !found->second.empty())
      job.facts.model = found->second;
    const bool finds_out = job.facts.model.empty() && found == known.end();
    if (stage.state == StageState::passed && finds_out) stage.state = StageState::waiting;
    if (stage.state != StageState::waiting) continue;
    stage.commands = commands_of(job.spec, job.stages.front(), layout_, {.digest_model = finds_out});
    if (finds_out) known[job.spec.model] = "";
    waits = true;
  }
  return waits;
}

void ZooWork::end_check(std::size_t index, const ZooStage& stage, const StageRun& run) {
  Job& job = jobs_[index];
  job.check_log += job.check_stream->str();
  if (stage.state == StageState::interrupted) return;
  if (stage.state != StageState::passed) {
    // Several obstacles are a line each, and the last line counts them (compile.h).
    std::vector<std::string> lines = run.errors();
    if (lines.size() > 1) lines.pop_back();
    if (lines.empty()) lines.push_back(stage.error);
    const bool told = stage.exit_code >= static_cast<int>(ErrorKind::usage) &&
                      stage.exit_code <= static_cast<int>(ErrorKind::resources);
    const bool stopped = run.timed_out() || stage.signal == SIGKILL;
    const ErrorKind kind = stopped ? ErrorKind::resources
                           : told  ? static_cast<ErrorKind>(stage.exit_code)
                                   : ErrorKind::internal;
    for (const std::string& line : lines) add_problem(index, kind, line);
    return;
  }
  std::size_t command = 0;
  for (; command < job.spec.formats.size(); ++command) add_facts(run.printed()[command], nullptr, job.facts);
  for (const Check& check : job.spec.checks)
    if (check.kind == Check::Kind::eval) add_facts(run.printed()[command++], &check, job.facts);
}

void ZooWork::estimate(std::size_t index) {
  const Job& job = jobs_[index];
  for (const Stage& stage : job.stages) {
    ZooStage& of_report = report_.jobs[index].stage(stage.name);
    of_report.memory_bytes = memory_of(job.spec, stage, job.facts);
    if (stage.kind == Stage::Kind::calibrate) {
      of_report.disk_bytes = job.facts.calibration_bytes;
      of_report.expected_seconds = job.facts.calibrate_seconds;
    } else if (stage.kind == Stage::Kind::convert) {
      of_report.disk_bytes = job.facts.artifact_bytes;
    }
  }
}

void ZooWork::check_memory() {
  for (std::size_t i = 0; i < jobs_.size(); ++i) {
    std::int64_t most = 0;
    for (const ZooStage& stage : report_.jobs[i].stages)
      if (stage.state == StageState::waiting) most = std::max(most, stage.memory_bytes);
    if (most > report_.memory_bytes && report_.jobs[i].stage(kCheckStage).state != StageState::error)
      add_problem(i, ErrorKind::resources,
                  cat("needs about ", bytes_text(most), " of memory, and there are ",
                      bytes_text(report_.memory_bytes),
                      options_.memory > 0 ? " by --memory" : " to share out on this machine",
                      "; state its 'memory' in the zoo file if you know better"));
  }
}

/// Artifacts stay.  Calibrations are removed after their exports, unless they are kept: the largest
/// that run side by side count.
void ZooWork::check_disk() {
  std::vector<std::int64_t> passing;
  for (std::size_t i = 0; i < jobs_.size(); ++i)
    for (const ZooStage& stage : report_.jobs[i].stages) {
      if (stage.state != StageState::waiting) continue;
      if (stage.name == kCalibrateStage && !jobs_[i].spec.values.keep_calibration)
        passing.push_back(stage.disk_bytes);
      else
        report_.disk_bytes += stage.disk_bytes;
    }
  std::ranges::sort(passing, std::greater());
  passing.resize(std::min(passing.size(), static_cast<std::size_t>(options_.jobs)));
  for (const std::int64_t bytes : passing) report_.disk_bytes += bytes;
  std::error_code error;
  const fs::space_info space = fs::space(existing_parent(layout_.output()), error);
  if (!error && space.available < static_cast<std::uintmax_t>(report_.disk_bytes))
    report_.problems.push_back(
        {"", ErrorKind::resources,
         cat("'", options_.output.string(), "': the jobs will write about ", bytes_text(report_.disk_bytes),
             " there, and its disk has ", human_bytes(space.available), " left")});
}

void ZooWork::show_problems() {
  for (ZooJob& job : report_.jobs) {
    std::vector<std::string> messages;
    for (const ZooProblem& problem : report_.problems)
      if (problem.job == job.name) messages.push_back(problem.message);
    if (messages.empty()) continue;
    ZooStage& stage = job.stage(kCheckStage);
    stage.state = StageState::error;
    stage.error = join(messages, "; ");
  }
}

void ZooWork::leave_out() {
  show_problems();
  for (std::size_t i = 0; i < jobs_.size(); ++i) {
    jobs_[i].left_out =
        std::ranges::find(report_.problems, report_.jobs[i].name, &ZooProblem::job) != report_.problems.end();
    if (jobs_[i].left_out) view_.changed(report_, report_.jobs[i], report_.jobs[i].stage(kCheckStage));
  }
  std::erase_if(report_.problems, [](const ZooProblem& problem) { return !problem.job.empty(); });
}

void ZooWork::write_checks() {
  for (std::size_t i = 0; i < jobs_.size(); ++i) {
    const Job& job = jobs_[i];
    const ZooStage& stage = report_.jobs[i].stage(kCheckStage);
    fs::create_directories(layout_.folder(job.spec.name));
    std::ofstream(layout_.log(job.spec.name), std::ios::app) << job.check_log;
    Record record = record_of(stage);
    if (record.state == StageState::kept) record.state = StageState::passed;
    if (record.state == StageState::passed) {
      record.key = key_of(job.spec, job.stages.front(), job.facts, program_);
      record.facts = job.facts;
    }
    write_record(layout_.record(job.spec.name, stage.name), record);
  }
}

}  // namespace mquant::zoo
