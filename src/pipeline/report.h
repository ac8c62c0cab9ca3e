// What a run tells afterwards: time by phase, counters, figures of every linear.  report.json and the screen read it.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "mquant/artifact.h"
#include "support/timer.h"

namespace mquant {

class Report {
 public:
  /// Adds what the watch shows to a phase and restarts the watch.
  void time(const std::string& phase, Stopwatch& watch);
  /// The figures of a block; logs the worst of them.
  void add(const StoredBlock& block);
  /// The largest relative difference that --verify-each saw in a block.
  void kept(double difference);

  /// {"seconds", "phases": {name: s}, "peak_bytes", "counters", "verified": difference or absent,
  ///  "linears": {"decoder.3.down": {"scheme", "weight_sqnr_db", ...}}}; blocks of earlier sessions come from `store`.
  ///  "sinks" and "self_check" (see manifest.schema.json)
  std::string json(double seconds, const CalibrationStore& store,
                   const std::map<std::string, std::int64_t, std::less<>>& counters) const;

 private:
  std::map<std::string, double> phases_;
  double kept_ = -1;
};

/// The "self_check" of a report, as JSON; "" if there is none.
std::string self_check_in(const std::string& report);

/// report.json of a finished calibration.
std::string read_report(const std::filesystem::path& calibration);

}  // namespace mquant
