#include "zoo/zoo_work.h"

#include <fnmatch.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <thread>

#include "mquant/artifact.h"
#include "mquant/error.h"
#include "mquant/log.h"
#include "support/atomic_file.h"
#include "support/mapped_file.h"
#include "support/paths.h"
#include "support/sha256.h"
#include "support/strings.h"
#include "support/writable.h"
#include "zoo/file_lock.h"
#include "zoo/memory.h"
#include "zoo/record.h"

namespace mquant::zoo {
namespace fs = std::filesystem;
namespace {

constexpr const char* kManifest = "mquant_manifest.json";
constexpr std::string_view kDigestWord = "--digest";

ZooStage& shown(ZooJob& job, const std::string& name) {
  return *std::ranges::find(job.stages, name, &ZooStage::name);
}

std::string text_in(const fs::path& file) {
  std::ifstream in(file);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

/// Evaluations of this stage with other inputs.
void remove_journals(const fs::path& folder, const std::string& stage, const fs::path& kept) {
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(stage + ".") && name.ends_with(".journal") && entry.path() != kept &&
        std::ranges::count(name, '.') == std::ranges::count(kept.filename().string(), '.'))
      fs::remove(entry.path());
  }
}

std::string bytes_text(std::int64_t bytes) { return human_bytes(static_cast<std::uint64_t>(bytes)); }

}  // namespace

ZooWork::ZooWork(const ZooOptions& options, ZooView& view)
    : options_(options), view_(view), layout_(fs::absolute(options.output).lexically_normal()) {
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
  const auto chosen_by = [](const std::string& pattern, const std::string& name) {
    return fnmatch(pattern.c_str(), name.c_str(), 0) == 0;
  };
  for (const std::string& pattern : options_.only)
    if (std::ranges::none_of(names, [&](const std::string& name) { return chosen_by(pattern, name); }))
      fail(ErrorKind::usage, "--only '", pattern, "': no job is like it", did_you_mean(pattern, names),
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
}

/// Names are made of several, and a disk has a limit for each.
void ZooWork::check_names() {
  constexpr const char* kLongest =
      ".0123456789abcdef.journal";  // what is put behind the name of a stage, at most
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

const Stage& ZooWork::stage_of(std::size_t job, const ZooStage& stage) const {
  return *std::ranges::find(jobs_[job].stages, stage.name, &Stage::name);
}

void ZooWork::add_problem(std::size_t job, ErrorKind kind, const std::string& message) {
  report_.problems.push_back({report_.jobs[job].name, kind, message});
}

void ZooWork::run_scheduler() {
  const auto cores =
      options_.threads > 0 ? options_.threads : static_cast<int>(std::thread::hardware_concurrency());
  Scheduler(report_, view_, *this,
            {.program = options_.program,
             .jobs = static_cast<std::size_t>(options_.jobs),
             .memory = report_.memory_bytes,
             .cores = std::max(1, cores)})
      .run();
}

void ZooWork::check() {
  phase_ = Phase::check;
  // The bytes of a model are read once, by the first of its jobs; another one does where that one's check fails.
  while (share_digests() && !report_.interrupted) run_scheduler();
  if (!report_.interrupted) plan_resources();
}

/// Gives each job the digest of its model if some job has it.  @returns whether checks are still to run
bool ZooWork::share_digests() {
  bool waits = false;
  std::map<fs::path, std::string> known;  // "": somebody will find it out
  for (std::size_t i = 0; i < jobs_.size(); ++i)
    if (!jobs_[i].facts.model.empty()) known[jobs_[i].spec.model] = jobs_[i].facts.model;
  for (std::size_t i = 0; i < jobs_.size(); ++i) {
    Job& job = jobs_[i];
    ZooStage& stage = shown(report_.jobs[i], kCheckStage);
    const auto found = known.find(job.spec.model);
    if (job.facts.model.empty() && found != known.end() && !found->second.empty())
      job.facts.model = found->second;
    const bool lacks = job.facts.model.empty();
    if (stage.state == StageState::passed && lacks && found == known.end()) stage.state = StageState::waiting;
    if (stage.state != StageState::waiting) continue;
    if (lacks && found == known.end())
      known[job.spec.model] = "";
    else if (!stage.commands.empty())
      std::erase(stage.commands.front(), kDigestWord);
    waits = true;
  }
  return waits;
}

bool ZooWork::wanted(std::size_t job, const ZooStage& stage) const {
  const bool is_check = stage.name == kCheckStage;
  if (phase_ == Phase::check) return is_check && (only_stage_.empty() || only_stage_ == kCheckStage);
  return !is_check && !jobs_[job].left_out && (only_stage_.empty() || only_stage_ == stage.name);
}

std::unique_ptr<std::ostream> ZooWork::begin(std::size_t index, ZooStage& stage) {
  Job& job = jobs_[index];
  if (phase_ == Phase::check) {
    auto log = std::make_unique<std::ostringstream>();
    job.check_stream = log.get();
    return log;
  }
  const Stage& what = stage_of(index, stage);
  fs::remove(layout_.record(job.spec.name, stage.name));  // of inputs that were others, or of a failure
  fs::remove(layout_.result(job.spec.name, stage.name));
  if (what.kind == Stage::Kind::calibrate) prepare_calibration(job);
  if (what.kind == Stage::Kind::eval) prepare_evaluation(job, what, stage);
  auto log = std::make_unique<std::ofstream>(layout_.log(job.spec.name), std::ios::app);
  if (!*log) fail(ErrorKind::resources, "cannot write the log '", layout_.log(job.spec.name).string(), "'");
  return log;
}

/// One of other inputs is of no use any more.
void ZooWork::prepare_calibration(const Job& job) {
  const fs::path directory = layout_.calibration(job.spec.name),
                 key_file = layout_.calibration_key(job.spec.name);
  const std::string key = key_of(job.spec, job.stages[1], job.facts, program_);
  if (CalibrationStore::is_calibration(directory) && text_in(key_file) != key)
    CalibrationStore::remove(directory);
  write_file_atomically(key_file, key);
}

void ZooWork::prepare_evaluation(const Job& job, const Stage& stage, ZooStage& of_report) const {
  const fs::path journal = journal_of(job.spec, stage, job.facts, program_, layout_);
  remove_journals(layout_.folder(job.spec.name), stage.name, journal);
  of_report.commands = commands_of(job.spec, stage, layout_);
  of_report.commands.front().insert(of_report.commands.front().end(), {"--journal", journal.string()});
}

void ZooWork::end(std::size_t index, ZooStage& stage, const StageRun& run) {
  if (phase_ == Phase::check) return end_check(index, stage, run);
  const Job& job = jobs_[index];
  const Stage& what = stage_of(index, stage);
  Record record = record_of(stage);
  if (is_done(stage.state) || stage.state == StageState::failed) {
    stage.figures = figures_of(layout_.result(job.spec.name, stage.name));
    record.figures = stage.figures;
  }
  record.key = key_of(job.spec, what, job.facts, program_);
  if (const fs::path made = made_by(index, what); !made.empty() && is_done(stage.state))
    record.made = sha256_file(made);
  write_record(layout_.record(job.spec.name, stage.name), record);
  if (what.kind == Stage::Kind::convert) drop_calibration(index);
}

void ZooWork::end_check(std::size_t index, ZooStage& stage, const StageRun& run) {
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
    const ErrorKind kind = told ? static_cast<ErrorKind>(stage.exit_code) : ErrorKind::internal;
    for (const std::string& line : lines) add_problem(index, kind, line);
    stage.error.clear();  // it is told as problems
    return;
  }
  std::size_t command = 0;
  for (; command < job.spec.formats.size(); ++command) add_facts(run.printed()[command], nullptr, job.facts);
  for (const Check& check : job.spec.checks)
    if (check.kind == Check::Kind::eval) add_facts(run.printed()[command++], &check, job.facts);
}

void ZooWork::plan_resources() {
  for (std::size_t i = 0; i < jobs_.size(); ++i) {
    const Job& job = jobs_[i];
    if (shown(report_.jobs[i], kCheckStage).state != StageState::passed) continue;
    std::int64_t most = 0;
    for (const Stage& stage : job.stages) {
      ZooStage& of_report = shown(report_.jobs[i], stage.name);
      of_report.memory_bytes = memory_of(job.spec, stage, job.facts);
      if (stage.kind == Stage::Kind::calibrate) {
        of_report.disk_bytes = job.facts.calibration_bytes;
        of_report.expected_seconds = job.facts.calibrate_seconds;
      } else if (stage.kind == Stage::Kind::convert) {
        of_report.disk_bytes = job.facts.artifact_bytes;
      }
      most = std::max(most, of_report.memory_bytes);
    }
    if (most > report_.memory_bytes)
      add_problem(i, ErrorKind::resources,
                  cat("needs about ", bytes_text(most), " of memory, and there are ",
                      bytes_text(report_.memory_bytes),
                      options_.memory > 0 ? " by --memory" : " to share out on this machine",
                      "; state its 'memory' in the zoo file if you know better"));
  }
  find_kept();
  check_disk();
}

/// Artifacts stay; of calibrations only as many are there at once as jobs run side by side, unless they are kept.
void ZooWork::check_disk() {
  std::vector<std::int64_t> passing;
  for (std::size_t i = 0; i < jobs_.size(); ++i) {
    for (const Stage& stage : jobs_[i].stages) {
      const ZooStage& of_report = shown(report_.jobs[i], stage.name);
      if (of_report.state != StageState::waiting) continue;
      if (stage.kind == Stage::Kind::calibrate && !jobs_[i].spec.values.keep_calibration)
        passing.push_back(of_report.disk_bytes);
      else
        report_.disk_bytes += of_report.disk_bytes;
    }
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

void ZooWork::leave_out() {
  for (std::size_t i = 0; i < jobs_.size(); ++i) {
    ZooStage& stage = shown(report_.jobs[i], kCheckStage);
    for (const ZooProblem& problem : report_.problems)
      if (problem.job == report_.jobs[i].name) {
        jobs_[i].left_out = true;
        stage.state = StageState::error;
        stage.error += (stage.error.empty() ? "" : "; ") + problem.message;
      }
    if (jobs_[i].left_out) view_.changed(report_, report_.jobs[i], stage);
  }
  std::erase_if(report_.problems, [](const ZooProblem& problem) { return !problem.job.empty(); });
}

/// The file whose bytes stand for what a stage makes.
fs::path ZooWork::made_by(std::size_t job, const Stage& stage) const {
  return stage.kind == Stage::Kind::convert ? layout_.artifact(jobs_[job].spec.name, stage.format) / kManifest
                                            : fs::path();
}

bool ZooWork::is_kept(std::size_t index, const Stage& stage) const {
  const Job& job = jobs_[index];
  const std::optional<Record> record = read_record(layout_.record(job.spec.name, stage.name));
  if (!record || record->state != StageState::passed ||
      record->key != key_of(job.spec, stage, job.facts, program_))
    return false;
  if (stage.kind == Stage::Kind::check) return same_inputs(facts_of(record->facts), job.facts);
  const fs::path made = made_by(index, stage);
  return made.empty() || (fs::exists(made) && sha256_file(made) == record->made);
}

void ZooWork::find_kept() {
  if (program_.empty()) program_ = program_digest();
  for (std::size_t i = 0; i < jobs_.size(); ++i) {
    Job& job = jobs_[i];
    ZooJob& reported = report_.jobs[i];
    if (shown(reported, kCheckStage).state != StageState::passed) continue;
    for (const Stage& stage : job.stages)
      if (is_kept(i, stage)) {
        ZooStage& of_report = shown(reported, stage.name);
        restore(*read_record(layout_.record(job.spec.name, stage.name)), of_report);
        of_report.state = StageState::kept;
      }
    // What the exports were made from may be gone; what was made from something else is made again.
    ZooStage& calibrate = shown(reported, kCalibrateStage);
    const bool exported = std::ranges::all_of(job.stages, [&](const Stage& stage) {
      return stage.kind != Stage::Kind::convert || shown(reported, stage.name).state == StageState::kept;
    });
    if (calibrate.state == StageState::kept && !exported &&
        !CalibrationStore::is_calibration(layout_.calibration(job.spec.name)))
      calibrate.state = StageState::waiting;
    for (ZooStage& stage : reported.stages)
      if (stage.state == StageState::kept && std::ranges::any_of(stage.needs, [&](const std::string& need) {
            const ZooStage& needed = shown(reported, need);
            return need != kCalibrateStage && !is_done(needed.state);
          }))
        stage.state = StageState::waiting;
  }
}

void ZooWork::read_records() {
  program_ = program_digest();
  for (std::size_t i = 0; i < jobs_.size(); ++i)
    for (ZooStage& stage : report_.jobs[i].stages) {
      const std::optional<Record> record = read_record(layout_.record(jobs_[i].spec.name, stage.name));
      if (!record) continue;
      if (!record->facts.empty())
        jobs_[i].facts = facts_of(record->facts);  // of the check, which is the first stage
      if (record->key == key_of(jobs_[i].spec, stage_of(i, stage), jobs_[i].facts, program_))
        restore(*record, stage);
    }
}

void ZooWork::expect_runnable(const std::string& name) {
  std::vector<std::string> known;
  bool found = false;
  for (ZooJob& job : report_.jobs)
    for (ZooStage& stage : job.stages) {
      known.push_back(stage.name);
      if (stage.name != name) continue;
      found = true;
      if (!is_done(stage.state)) stage.state = StageState::waiting;
      for (const std::string& need : stage.needs)
        if (!is_done(shown(job, need).state))
          fail(ErrorKind::usage, "--stage ", name, ": '", job.name, "' has not passed the stage '", need,
               "' with these inputs; run that one first");
    }
  std::ranges::sort(known);
  const auto repeated = std::ranges::unique(known);
  known.erase(repeated.begin(), repeated.end());
  if (!found)
    fail(ErrorKind::usage, "--stage '", name, "': no job has it", did_you_mean(name, known),
         " (stages: ", join(known, ", "), ", report)");
}

void ZooWork::run(const std::string& only_stage) {
  phase_ = Phase::run;
  only_stage_ = only_stage;
  for (std::size_t i = 0; i < jobs_.size(); ++i)
    drop_calibration(i);  // of a run that was killed before it could
  run_scheduler();
}

void ZooWork::write_checks() {
  for (std::size_t i = 0; i < jobs_.size(); ++i) {
    const ZooStage& stage = shown(report_.jobs[i], kCheckStage);
    fs::create_directories(layout_.folder(jobs_[i].spec.name));
    std::ofstream(layout_.log(jobs_[i].spec.name), std::ios::app) << jobs_[i].check_log;
    Record record = record_of(stage);
    if (is_done(stage.state)) record.facts = to_json(jobs_[i].facts);
    if (record.state == StageState::kept) record.state = StageState::passed;
    write_record(layout_.record(jobs_[i].spec.name, stage.name), record);
  }
}

/// When every export that is wanted is there.  Records are asked, since other processes may run other exports.
void ZooWork::drop_calibration(std::size_t index) {
  const Job& job = jobs_[index];
  const fs::path directory = layout_.calibration(job.spec.name);
  if (job.spec.values.keep_calibration || job.left_out || !CalibrationStore::is_calibration(directory))
    return;
  const FileLock alone(layout_.folder(job.spec.name) / "lock");
  const bool exported = std::ranges::all_of(job.stages, [&](const Stage& stage) {
    return stage.kind != Stage::Kind::convert || is_kept(index, stage);
  });
  if (!exported || !CalibrationStore::is_calibration(directory)) return;
  CalibrationStore::remove(directory);
  fs::remove(layout_.calibration_key(job.spec.name));
}

}  // namespace mquant::zoo
