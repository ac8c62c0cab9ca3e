// Log lines and progress.  Messages are strings made by cat(...): spdlog stays inside log.cpp, because the fmt of
// libtorch's headers and the fmt of Debian's spdlog cannot be seen by one translation unit.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace mquant {

enum class LogLevel { debug, info, warn, error, off };
enum class ProgressStyle { automatic, plain, json, none };

/// Where messages go.  Level and style come from the command line; the log goes to stderr, results to stdout.
void set_log_level(LogLevel level);
void set_progress_style(ProgressStyle style);
/// Also appends every line, with its time, to `path`.  Throws Error{resources} if it cannot be opened.
void set_log_file(const std::string& path);

void debug(std::string_view message);
void info(std::string_view message);
void warn(std::string_view message);
/// What ends the program, or keeps it from beginning; `hint` is a line of its own below it.
void log_error(std::string_view message, std::string_view hint = {});

/// A long job: one line with ETA on a terminal, a plain line every few seconds when piped, JSON lines on request
/// ({"event": "progress", "phase", "done", "total", "elapsed_s", "eta_s", "note"}).
class Progress {
 public:
  Progress(std::string phase, std::int64_t total);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  /// Counts `steps` more as done; `note` names the last one, e.g. "decoder.3".
  void advance(std::int64_t steps = 1, std::string_view note = {});

 private:
  void show(bool last);
  std::string phase_, note_;
  std::int64_t total_, done_ = 0;
  std::chrono::steady_clock::time_point start_, shown_;
};

/// Ctrl-C and SIGTERM set a flag; long loops call this between steps.  Throws Error{interrupted}.
void install_interrupt_handler();
void check_interrupt();
/// For a loop that ends by itself.
bool interrupt_requested();

}  // namespace mquant
