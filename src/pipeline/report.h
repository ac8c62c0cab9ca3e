// What a run tells afterwards: time by phase, counters, figures of every linear.  report.json and the screen read it.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "mquant/artifact.h"
#include "support/timer.h"

namespace mquant {

/// Made when the run begins.
class Report {
 public:
  /// Adds what the watch shows to a phase and restarts the watch.
  void time(const std::string& phase, Stopwatch& watch);
  /// The largest relative difference that --verify-each saw in a block.
  void kept(double difference);
  /// The work since the last call, which belongs to `block`; logs the figures of its linears.  `counters`: of all passes
  /// so far.
  BlockWork take(const StoredBlock& block, const std::map<std::string, std::int64_t, std::less<>>& counters);

  /// {"seconds", "cpu_seconds", "peak_bytes", "phases": {name: s}, "counters", "verified": difference or absent,
  ///  "linears": {"decoder.3.down": {"scheme", "weight_sqnr_db", ...}}}, of all blocks in `store`, whichever process made
  ///  them.  "sinks" and "self_check" (see manifest.schema.json)
  std::string json(const CalibrationStore& store);

 private:
  BlockWork taken();

  Stopwatch elapsed_;
  double cpu_seconds_ = 0;  // told already
  std::map<std::string, std::int64_t, std::less<>> counters_;
  BlockWork work_;
};

/// The "self_check" of a report, as JSON; "" if there is none.
std::string self_check_in(const std::string& report);

/// report.json of a finished calibration.
std::string read_report(const std::filesystem::path& calibration);

}  // namespace mquant
