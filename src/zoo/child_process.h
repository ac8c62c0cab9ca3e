// A process of the program, its output read while it runs.
#pragma once

#include <sys/types.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace mquant::zoo {

/// How a process ended.
struct Exit {
  int code = 0, signal = 0;  // of a process that a signal ended, code is 0
  double seconds = 0;        // of wall time
  std::int64_t peak_bytes = 0;
};

class ChildProcess {
 public:
  enum Stream : std::size_t { out, err };

  /// Starts it, in a process group of its own: Ctrl-C on the terminal reaches the parent, which
  /// decides.  It gets SIGKILL when the thread that started it ends, however that ends.
  /// @throws Error{resources} if no process can be made
  ChildProcess(const std::filesystem::path& program, const std::vector<std::string>& words);
  /// Kills what still runs.
  ~ChildProcess();
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&&) = delete;

  /// Descriptors to poll; -1 after the end of a stream.
  const std::array<int, 2>& descriptors() const { return pipes_; }
  /// Takes what `stream` holds now and calls `line` for every line that is whole; the last one
  /// need not end.
  void read(Stream stream, const std::function<void(std::string)>& line);
  /// Both streams have ended; waits for the process.
  std::optional<Exit> ended();
  void signal(int number) const;
  double seconds() const;
  pid_t id() const { return process_; }

 private:
  pid_t process_ = -1;
  std::array<int, 2> pipes_ = {-1, -1};
  std::array<std::string, 2> rest_;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace mquant::zoo
