#include "zoo/child_process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <thread>

namespace mquant::zoo {
namespace {

using testing::ElementsAre;

ChildProcess shell(const std::string& script) { return {"/bin/sh", {"sh", "-c", script}}; }

struct Output {
  std::vector<std::string> out, err;
  Exit exit;
};

Output run(ChildProcess child) {
  Output output;
  while (true) {
    for (const auto stream : {ChildProcess::out, ChildProcess::err}) {
      pollfd descriptor{child.descriptors()[stream], POLLIN, 0};
      if (descriptor.fd >= 0 && poll(&descriptor, 1, 10) > 0)
        child.read(stream, [&](const std::string& line) {
          (stream == ChildProcess::out ? output.out : output.err).push_back(line);
        });
    }
    if (const auto exit = child.ended()) {
      output.exit = *exit;
      return output;
    }
  }
}

TEST(ChildProcess, GivesBothStreamsLineByLineAndItsExitCode) {
  const Output output = run(shell("echo one; echo two; printf three; echo wrong >&2; exit 7"));
  EXPECT_THAT(output.out, ElementsAre("one", "two", "three"));
  EXPECT_THAT(output.err, ElementsAre("wrong"));
  EXPECT_EQ(output.exit.code, 7);
  EXPECT_EQ(output.exit.signal, 0);
  EXPECT_GT(output.exit.peak_bytes, 0);
}

TEST(ChildProcess, TellsTheSignalThatEndedIt) {
  const Output output = run(shell("kill -SEGV $$"));
  EXPECT_EQ(output.exit.signal, SIGSEGV);
  EXPECT_EQ(output.exit.code, 0);
}

TEST(ChildProcess, CutsALineWithoutEnd) {
  const Output output = run(shell("head -c 3000000 /dev/zero | tr '\\0' x"));
  ASSERT_GT(output.out.size(), 1u);
  for (const std::string& line : output.out) EXPECT_LE(line.size(), 1200000u);
}

TEST(ChildProcess, ThatCannotBeStartedSaysSo) {
  const Output output = run(ChildProcess("/nowhere/at/all", {"mquant"}));
  EXPECT_EQ(output.exit.code, 5);
  EXPECT_THAT(output.err, ElementsAre("mquant: error: cannot start the program"));
}

bool is_gone(pid_t process) {
  for (int i = 0; i < 500; ++i) {
    if (kill(process, 0) != 0 && errno == ESRCH) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

TEST(ChildProcess, EndsWithItsObject) {
  pid_t process = 0;
  {
    const ChildProcess child = shell("exec sleep 600");
    process = child.id();
    EXPECT_EQ(kill(process, 0), 0);
  }
  EXPECT_TRUE(is_gone(process));
}

/// As `kill -9` of the zoo: no destructor runs.
TEST(ChildProcess, EndsWithAParentThatIsKilled) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pid_t parent = fork();
  if (parent == 0) {
    const ChildProcess child = shell("exec sleep 600");
    const pid_t process = child.id();
    if (write(ends[1], &process, sizeof process) != sizeof process) _exit(1);
    pause();
    _exit(0);
  }
  pid_t process = 0;
  ASSERT_EQ(read(ends[0], &process, sizeof process), static_cast<ssize_t>(sizeof process));
  kill(parent, SIGKILL);
  waitpid(parent, nullptr, 0);
  EXPECT_TRUE(is_gone(process));
  for (const int end : ends) close(end);
}

}  // namespace
}  // namespace mquant::zoo
