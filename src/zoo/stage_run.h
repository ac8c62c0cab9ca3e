// A stage while its commands run, one after the other.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "mquant/zoo.h"
#include "zoo/child_process.h"

namespace mquant::zoo {

struct StageRunOptions {
  std::filesystem::path program;
  std::string device = "cpu";
  int threads = 1;
  std::chrono::duration<double> timeout{0};  // 0: none
};

class StageRun {
 public:
  /// Starts the first command.  `stage` follows what happens; both live longer than this.
  /// @param log  gets command lines, messages and what commands print
  StageRun(ZooStage& stage, std::ostream& log, StageRunOptions options);

  const ChildProcess& child() const { return *child_; }
  /// Takes what a stream holds, after poll() has said that it holds something.
  void read(ChildProcess::Stream stream);
  /// Starts the next command where one has ended well, stops one that takes too long.
  /// @returns whether the stage has ended
  bool step();
  /// As Ctrl-C does: a command ends after its step, and what it has done is kept.
  void interrupt();

  /// What each command has printed on stdout.
  const std::vector<std::string>& printed() const { return printed_; }
  bool timed_out() const { return timed_out_; }
  /// Messages that were errors, one obstacle each.
  const std::vector<std::string>& errors() const { return errors_; }

 private:
  void start();
  void take_message(const std::string& line);
  void log_line(const std::string& text);
  void keep_line(const std::string& line);
  bool ended(const Exit& exit);
  std::string why(const Exit& exit) const;

  ZooStage& stage_;
  std::ostream& log_;
  StageRunOptions options_;
  std::optional<ChildProcess> child_;
  std::size_t command_ = 0;
  std::vector<std::string> printed_, errors_;
  std::string last_words_;  // of a process that could not say it as it should
  double before_ = 0;       // seconds of the commands that have ended
  bool interrupted_ = false, timed_out_ = false;
  std::chrono::steady_clock::time_point asked_;  // when it was asked to stop
};

}  // namespace mquant::zoo
