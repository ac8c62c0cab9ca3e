// What is kept of a stage that ended, for the next run and for the report.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "mquant/zoo.h"
#include "zoo/facts.h"

namespace mquant::zoo {

struct Record {
  std::string key;  // stages.h
  StageState state = StageState::waiting;
  int exit_code = 0, signal = 0;
  double seconds = 0;
  std::int64_t peak_bytes = 0;
  std::string error;
  std::map<std::string, double> figures;
  std::vector<std::string> last_lines;  // of the log
  std::string made;                     // digest of the files that the stage made; "": none to look at
  std::string seen;                     // the same of their names, sizes and times, which is told at once
  std::optional<Facts> facts;           // of a check
};

void write_record(const std::filesystem::path& file, const Record& record);
/// A file that does not hold a record counts as absent, with a warning.
std::optional<Record> read_record(const std::filesystem::path& file);

Record record_of(const ZooStage& stage);
void restore(const Record& record, ZooStage& stage);

/// The numbers of a result (the JSON of --json) that reports show: of an export "artifact_bytes",
/// "source_bytes" and "bits_per_weight", of an evaluation "exact" (percent), "samples",
/// "perplexity" and "kl.CLASS".  What is absent or no number is left out.
std::map<std::string, double> figures_of(const std::filesystem::path& result);

}  // namespace mquant::zoo
