// What earlier runs of a zoo have left, and whether it still holds.
#include <algorithm>
#include <map>

#include "mquant/artifact.h"
#include "mquant/error.h"
#include "support/sha256.h"
#include "support/strings.h"
#include "zoo/zoo_work.h"

namespace mquant::zoo {
namespace fs = std::filesystem;
namespace {

/// SHA-256 over the names of all files below `directory`, and what `describe` says of each.
template <class Describe>
std::string digest_of_tree(const fs::path& directory, const Describe& describe) {
  std::map<std::string, std::string> files;
  std::error_code error;
  for (const auto& entry : fs::recursive_directory_iterator(directory, error))
    if (!entry.is_directory()) files[entry.path().lexically_relative(directory).string()] = describe(entry);
  return sha256_of_named(files);
}

}  // namespace

std::string digest_of_files(const fs::path& directory) {
  return digest_of_tree(directory,
                        [](const fs::directory_entry& entry) { return sha256_file(entry.path()); });
}

std::string digest_of_names(const fs::path& directory) {
  return digest_of_tree(directory, [](const fs::directory_entry& entry) {
    return cat(entry.file_size(), " ", entry.last_write_time().time_since_epoch().count());
  });
}

bool ZooWork::still_there(std::size_t index, const Stage& stage, const Record& record) const {
  if (stage.kind == Stage::Kind::check) return record.facts && same_inputs(*record.facts, jobs_[index].facts);
  if (stage.kind != Stage::Kind::convert) return true;
  const fs::path artifact = layout_.artifact(jobs_[index].spec.name, stage.format);
  try {
    if (!fs::exists(artifact)) return false;
    return digest_of_names(artifact) == record.seen || digest_of_files(artifact) == record.made;
  } catch (const std::exception&) {  // a file that cannot be read is not the one that was written
    return false;
  }
}

/// Of these inputs and this program, whatever the stage ended in; what it made is still there.
std::optional<Record> ZooWork::holding_record(std::size_t index, const Stage& stage) const {
  const Job& job = jobs_[index];
  std::optional<Record> record = read_record(layout_.record(job.spec.name, stage.name));
  if (!record || record->key != key_of(job.spec, stage, job.facts, program_)) return {};
  if (record->state == StageState::passed && !still_there(index, stage, *record)) return {};
  return record;
}

void ZooWork::settle(std::size_t index, StageState when_passed) {
  const Job& job = jobs_[index];
  ZooJob& reported = report_.jobs[index];
  for (const Stage& stage : job.stages) {
    const std::optional<Record> record = holding_record(index, stage);
    if (!record) continue;
    const bool passed = record->state == StageState::passed;
    if (!passed && when_passed == StageState::kept) continue;  // it runs again
    ZooStage& of_report = reported.stage(stage.name);
    restore(*record, of_report);
    if (passed) of_report.state = when_passed;
  }
  // What the exports were made from may be gone; what was made from something that is made again
  // is made again too.
  ZooStage& calibrate = reported.stage(kCalibrateStage);
  const bool is_there = CalibrationStore::is_calibration(layout_.calibration(job.spec.name)),
             exported = std::ranges::all_of(job.stages, [&](const Stage& stage) {
               return stage.kind != Stage::Kind::convert || is_done(reported.stage(stage.name).state);
             });
  if (is_done(calibrate.state) && !is_there && (!exported || job.spec.values.keep_calibration))
    calibrate.state = StageState::waiting;
  for (ZooStage& stage : reported.stages)
    if (is_done(stage.state) && std::ranges::any_of(stage.needs, [&](const std::string& need) {
          return need != kCalibrateStage && !is_done(reported.stage(need).state);
        }))
      stage.state = StageState::waiting;
}

void ZooWork::read_records() {
  for (std::size_t i = 0; i < jobs_.size(); ++i) {
    Job& job = jobs_[i];
    const Stage& check = job.stages.front();
    const std::optional<Record> record = read_record(layout_.record(job.spec.name, check.name));
    if (!record) continue;
    if (record->state == StageState::passed) {
      if (!record->facts || record->key != key_of(job.spec, check, job.facts, program_)) continue;
      job.facts = *record->facts;
      estimate(i);
      settle(i, StageState::passed);
    } else {
      restore(*record, report_.jobs[i].stage(check.name));
    }
  }
}

void ZooWork::expect_runnable(const std::string& name) {
  std::set<std::string> known;
  for (ZooJob& job : report_.jobs)
    for (ZooStage& stage : job.stages) {
      known.insert(stage.name);
      if (stage.name != name) continue;
      if (!is_done(stage.state)) stage.state = StageState::waiting;
      for (const std::string& need : stage.needs)
        if (!is_done(job.stage(need).state))
          fail(ErrorKind::usage, "--stage ", name, ": '", job.name, "' has not passed the stage '", need,
               "' with these inputs; run that one first");
    }
  const std::vector<std::string> names(known.begin(), known.end());
  if (!known.contains(name))
    fail(ErrorKind::usage, "--stage '", printable(name), "': no job has it", did_you_mean(name, names),
         " (stages: ", join(names, ", "), ", report)");
}

/// Records are asked, since other processes may run other exports.
bool ZooWork::is_exported(std::size_t index) const {
  const Job& job = jobs_[index];
  return std::ranges::all_of(job.stages, [&](const Stage& stage) {
    if (stage.kind != Stage::Kind::convert) return true;
    const std::optional<Record> record = holding_record(index, stage);
    return record && record->state == StageState::passed;
  });
}

/// When every export that is wanted is there.
void ZooWork::drop_calibration(std::size_t index) {
  const Job& job = jobs_[index];
  const fs::path directory = layout_.calibration(job.spec.name);
  if (job.spec.values.keep_calibration || job.left_out || !CalibrationStore::is_calibration(directory))
    return;
  const FileLock alone(layout_.folder(job.spec.name) / "lock");
  if (!is_exported(index) || !CalibrationStore::is_calibration(directory)) return;
  CalibrationStore::remove(directory);
  fs::remove(layout_.calibration_key(job.spec.name));
}

}  // namespace mquant::zoo
