// A child process that may be killed at any moment.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace mquant::test {

class Child {
 public:
  /// Runs command[0] with its arguments; what it prints is thrown away.
  explicit Child(const std::vector<std::string>& command);
  /// Kills it if it still runs.
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  /// Sends SIGKILL and waits.  @returns false if it had ended by itself
  bool kill();
  /// Sends SIGINT.  @returns false if it had ended by itself
  bool interrupt();
  bool running();
  /// @returns the exit code, or 128 + the signal
  int wait();

 private:
  pid_t pid_ = -1;
  bool reaped_ = false;
  int status_ = 0;
};

}  // namespace mquant::test
