#include "zoo/zoo_work.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "artifact/run_identity.h"
#include "io/json_text.h"
#include "mquant/artifact.h"
#include "mquant/error.h"
#include "mquant/log.h"
#include "support/atomic_file.h"
#include "support/sha256.h"
#include "support/strings.h"

namespace mquant::zoo {
namespace fs = std::filesystem;
namespace {

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

}  // namespace

void ZooWork::run_scheduler() {
  const auto cores =
      options_.threads > 0 ? options_.threads : static_cast<int>(std::thread::hardware_concurrency());
  Scheduler(report_, view_, *this,
            {.program = options_.program,
             .device = options_.device,
             .jobs = static_cast<std::size_t>(options_.jobs),
             .memory = report_.memory_bytes,
             .cores = std::max(1, cores)})
      .run();
}

void ZooWork::run(const std::string& only_stage) {
  phase_ = Phase::run;
  only_stage_ = only_stage;
  for (std::size_t i = 0; i < jobs_.size(); ++i)
    drop_calibration(i);  // of a run that was killed before it could
  run_scheduler();
}

const Stage& ZooWork::stage_of(std::size_t job, const ZooStage& stage) const {
  return *std::ranges::find(jobs_[job].stages, stage.name, &Stage::name);
}

bool ZooWork::wanted(std::size_t job, const ZooStage& stage) const {
  const bool is_check = stage.name == kCheckStage;
  if (phase_ == Phase::check) return is_check;
  return !is_check && !jobs_[job].left_out && (only_stage_.empty() || only_stage_ == stage.name);
}

std::unique_ptr<std::ostream> ZooWork::begin(std::size_t index, ZooStage& stage) {
  Job& job = jobs_[index];
  if (phase_ == Phase::check) {
    auto log = std::make_unique<std::ostringstream>();
    job.check_stream = log.get();
    return log;
  }
  const std::string& name = job.spec.name;
  job.lock.reset();  // of a try for which the system had no process
  job.lock.emplace(FileLock::now(layout_.folder(name) / (stage.name + ".lock"), FileLock::Kind::exclusive,
                                 "another process runs this stage"));
  const Stage& what = stage_of(index, stage);
  job.continues = false;
  fs::remove(layout_.record(name, stage.name));  // of inputs that were others, or of a failure
  fs::remove(layout_.result(name, stage.name));
  if (what.kind == Stage::Kind::calibrate) prepare_calibration(job, what);
  if (what.kind == Stage::Kind::eval) prepare_evaluation(job, what, stage);
  auto log = std::make_unique<std::ofstream>(layout_.log(name), std::ios::app);
  if (!*log) fail(ErrorKind::resources, "cannot write the log '", layout_.log(name).string(), "'");
  return log;
}

/// A calibration of other inputs, and what is left of a broken one, is removed.
void ZooWork::prepare_calibration(Job& job, const Stage& stage) {
  const fs::path directory = layout_.calibration(job.spec.name),
                 key_file = layout_.calibration_key(job.spec.name);
  const std::string key = key_of(job.spec, stage, job.facts, program_);
  job.continues = CalibrationStore::is_calibration(directory) && text_in(key_file) == key;
  if (!job.continues) fs::remove_all(directory);
  write_file_atomically(key_file, key);
}

void ZooWork::prepare_evaluation(Job& job, const Stage& stage, ZooStage& of_report) const {
  const fs::path journal = journal_of(job.spec, stage, job.facts, program_, layout_);
  remove_journals(layout_.folder(job.spec.name), stage.name, journal);
  job.continues = fs::exists(journal);
  of_report.commands = commands_of(job.spec, stage, layout_, {.digest_model = false, .journal = journal});
}

void ZooWork::end(std::size_t index, ZooStage& stage, const StageRun& run) {
  if (phase_ == Phase::check) {
    end_check(index, stage, run);
    stage.error.clear();  // it is told as a problem
    return;
  }
  Job& job = jobs_[index];
  const Stage& what = stage_of(index, stage);
  if (starts_over(index, what, stage)) return job.lock.reset();
  if (is_done(stage.state)) expect_same_inputs(index, what, stage);
  if (is_done(stage.state) || stage.state == StageState::failed)
    stage.figures = figures_of(layout_.result(job.spec.name, stage.name));
  Record record = record_of(stage);
  record.key = key_of(job.spec, what, job.facts, program_);
  if (what.kind == Stage::Kind::convert && is_done(stage.state)) {
    const fs::path artifact = layout_.artifact(job.spec.name, what.format);
    record.made = digest_of_files(artifact);
    record.seen = digest_of_names(artifact);
  }
  write_record(layout_.record(job.spec.name, stage.name), record);
  if (what.kind == Stage::Kind::convert) drop_calibration(index);
  job.lock.reset();
}

/// What an earlier run has left may be damaged, and all of it is ours: it is made again, once.
bool ZooWork::starts_over(std::size_t index, const Stage& stage, ZooStage& of_report) {
  Job& job = jobs_[index];
  ZooStage& calibrate = report_.jobs[index].stage(kCalibrateStage);
  const bool refused =
      of_report.state == StageState::error && (of_report.exit_code == static_cast<int>(ErrorKind::input) ||
                                               of_report.exit_code == static_cast<int>(ErrorKind::usage));
  const bool from_before = stage.kind == Stage::Kind::convert
                               ? calibrate.state == StageState::kept && only_stage_.empty()
                               : job.continues;
  if (!refused || !from_before || !job.started_over.insert(stage.name).second) return false;
  warn(cat(job.spec.name, ": ", stage.name, ": ", of_report.error,
           "; what an earlier run has left is removed, and made again"));
  if (stage.kind == Stage::Kind::eval) {
    fs::remove(journal_of(job.spec, stage, job.facts, program_, layout_));
  } else {
    fs::remove_all(layout_.calibration(job.spec.name));
    calibrate.state = StageState::waiting;
  }
  of_report.state = StageState::waiting;
  of_report.error.clear();
  return true;
}

/// The check has read the inputs earlier: a result counts for what it was made from.
void ZooWork::expect_same_inputs(std::size_t index, const Stage& stage, ZooStage& of_report) const {
  const Job& job = jobs_[index];
  std::vector<std::string> changed;
  const auto compare = [&](const char* what, const std::string& before, const std::string& now) {
    if (before != now) changed.emplace_back(what);
  };
  const fs::path calibration = layout_.calibration(job.spec.name),
                 result = layout_.result(job.spec.name, stage.name);
  if (stage.kind == Stage::Kind::calibrate && CalibrationStore::is_calibration(calibration)) {
    const RunIdentity identity = CalibrationStore::identity_of(calibration);
    compare("the model", job.facts.model, digest_of(identity.source));
    compare("the samples", job.facts.data, identity.data_digest);
    compare("the recipe", job.facts.recipe, sha256_hex(identity.recipe));
    compare("the chat template", job.facts.chat_template,
            identity.chat_template.empty() ? "" : sha256_hex(identity.chat_template));
    if (!changed.empty()) fs::remove(layout_.calibration_key(job.spec.name));  // nothing continues it
  } else if (stage.kind == Stage::Kind::eval && fs::exists(result)) {
    const Json found = read_json_object(result);
    if (const auto digest = found.find("digest"); digest != found.end() && digest->is_string())
      compare("the samples", job.facts.eval_data.at(stage.check->name), digest->get<std::string>());
  }
  if (changed.empty()) return;
  of_report.state = StageState::error;
  of_report.error = cat(join(changed, ", "), " changed while the zoo ran; run it again with --resume");
}

}  // namespace mquant::zoo
