#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <optional>
#include <string>

#include "mquant/log.h"
#include "tests/support/captured.h"

namespace mquant {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;

class ProgressOutput : public testing::Test {
 protected:
  void TearDown() override {
    set_log_level(LogLevel::info);
    set_progress_style(ProgressStyle::automatic);
  }

  static std::string of_three_steps() {
    return test::stderr_of([] {
      Progress progress("calibrate", 3);
      for (const char* note : {"vision.0", "decoder.0", "decoder.1"}) progress.advance(1, note);
    });
  }
};

TEST_F(ProgressOutput, PipedAShortJobIsOneLine) {
  EXPECT_THAT(of_three_steps(), MatchesRegex("calibrate: 3/3 in [0-9]+ ms\n"));
}

TEST_F(ProgressOutput, JsonEndsWithTheLastStep) {
  set_progress_style(ProgressStyle::json);
  set_log_level(LogLevel::error);  // a program reads it, whatever people want to see
  EXPECT_THAT(of_three_steps(),
              MatchesRegex(R"(\{"event": "progress", "phase": "calibrate", "done": 3, "total": 3, )"
                           R"("elapsed_s": [0-9]+\.[0-9]{3}, "eta_s": 0\.000, "note": "decoder\.1"\})"
                           "\n"));
}

TEST_F(ProgressOutput, NoneAndQuietAreSilent) {
  set_progress_style(ProgressStyle::none);
  EXPECT_EQ(of_three_steps(), "");
  set_progress_style(ProgressStyle::automatic);
  set_log_level(LogLevel::warn);
  EXPECT_EQ(of_three_steps(), "");
}

/// All that a child process shows on a terminal of 40 columns; nothing where the machine has no terminals.
template <class Work>
std::optional<std::string> on_a_terminal(Work&& work) {
  int terminal = -1;
  winsize size{};
  size.ws_row = 10;
  size.ws_col = 40;
  const pid_t child = forkpty(&terminal, nullptr, nullptr, &size);
  if (child < 0) return std::nullopt;
  if (child == 0) {
    setenv("TERM", "xterm", 1);
    setenv("NO_COLOR", "1", 1);
    work();
    _exit(0);
  }
  std::string text;
  std::array<char, 4096> piece{};
  for (;;) {
    const ssize_t got = read(terminal, piece.data(), piece.size());
    if (got <= 0) break;  // EIO: the child is gone
    text.append(piece.data(), static_cast<std::size_t>(got));
  }
  waitpid(child, nullptr, 0);
  close(terminal);
  return text;
}

TEST_F(ProgressOutput, OnATerminalLogLinesDoNotTearTheStatusLine) {
  const std::optional<std::string> text = on_a_terminal([] {
    Progress progress("calibrate", 2);
    warn("odd");
    progress.advance(2);
  });
  if (!text) GTEST_SKIP() << "no pseudo-terminals here";
  EXPECT_THAT(*text, MatchesRegex("\rcalibrate: 0/2"                           // drawn
                                  "\r\033\\[Jwarning: odd\r\n"                 // erased for the line
                                  "\rcalibrate: 0/2"                           // drawn again
                                  "\r\033\\[Jcalibrate: 2/2 in [0-9]+ ms\r\n"  // what stays
                                  ));
}

TEST_F(ProgressOutput, TheStatusLineNeverWraps) {
  const std::optional<std::string> text =
      on_a_terminal([] { const Progress progress(std::string(100, 'p'), 2); });
  if (!text) GTEST_SKIP() << "no pseudo-terminals here";
  EXPECT_THAT(*text, HasSubstr("\r" + std::string(39, 'p')));
  EXPECT_THAT(*text, Not(HasSubstr(std::string(40, 'p'))));
}

}  // namespace
}  // namespace mquant
