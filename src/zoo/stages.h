// What the jobs of a zoo consist of: stages, the commands that run them, the files they leave, and
// the keys by which an earlier result is known to be of the same inputs.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "mquant/zoo.h"
#include "zoo/facts.h"
#include "zoo/zoo_file.h"

namespace mquant::zoo {

/// Where things lie in the output directory.
class Layout {
 public:
  explicit Layout(std::filesystem::path output) : output_(std::move(output)) {}
  const std::filesystem::path& output() const { return output_; }
  /// Says that the directory is ours; its lock is held while a zoo runs.
  std::filesystem::path marker() const { return output_ / kOutputMarker; }
  std::filesystem::path folder(const std::string& job) const { return output_ / "jobs" / job; }
  std::filesystem::path calibration(const std::string& job) const { return folder(job) / "calibration"; }
  /// The key of the calibration that is there, finished or not.
  std::filesystem::path calibration_key(const std::string& job) const {
    return folder(job) / "calibration.key";
  }
  std::filesystem::path record(const std::string& job, const std::string& stage) const {
    return folder(job) / (stage + ".json");
  }
  std::filesystem::path result(const std::string& job, const std::string& stage) const {
    return folder(job) / (stage + ".result.json");
  }
  std::filesystem::path log(const std::string& job) const { return output_ / "logs" / (job + ".log"); }
  std::filesystem::path artifact(const std::string& job, const std::string& format) const {
    return output_ / "artifacts" / (format == "auto" ? job : job + "." + format);
  }

 private:
  std::filesystem::path output_;
};

struct Stage {
  enum class Kind { check, calibrate, convert, verify, eval } kind = Kind::check;  // convert: export
  std::string name, format;
  const Check* check = nullptr;    // of an eval
  std::vector<std::string> needs;  // the check always: without what it found, no key is known
};

inline constexpr const char* kCheckStage = "check";
inline constexpr const char* kCalibrateStage = "calibrate";

/// In the order in which they run.  They point into `job`.
std::vector<Stage> stages_of(const JobSpec& job);

/// SHA-256 of all that decides the result of a stage; of a check, of what it is told: what it
/// reads is in its facts.
/// @throws Error{usage} for a recipe that is not there
/// @param program  digest of the program
std::string key_of(const JobSpec& job, const Stage& stage, const Facts& facts, const std::string& program);

/// Bytes of memory while a stage runs, as far as can be told.
std::int64_t memory_of(const JobSpec& job, const Stage& stage, const Facts& facts);

/// What a command line has besides what the zoo file says.
struct CommandDetails {
  bool digest_model = true;            // of a check: read all bytes of the model
  std::filesystem::path journal = {};  // of an evaluation
};

/// Command lines, without the program and without --threads and --progress.
std::vector<std::vector<std::string>> commands_of(const JobSpec& job, const Stage& stage,
                                                  const Layout& layout, const CommandDetails& details = {});

/// An evaluation's journal; its name holds the key of the work, so that a bound can change and the
/// answers stay.
std::filesystem::path journal_of(const JobSpec& job, const Stage& stage, const Facts& facts,
                                 const std::string& program, const Layout& layout);

/// The program that runs, and all libraries that it has loaded.
std::vector<std::filesystem::path> program_files();
/// SHA-256 of the bytes of these files, whatever their names.
std::string digest_of_program(const std::vector<std::filesystem::path>& files);

}  // namespace mquant::zoo
