#include "mquant/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "mquant/error.h"
#include "support/console.h"
#include "tests/support/captured.h"
#include "tests/support/files.h"
#include "tests/support/temp_dir.h"

namespace mquant {
namespace {

using test::stderr_of;
using testing::HasSubstr;

class Log : public testing::Test {
 protected:
  void TearDown() override {
    set_log_level(LogLevel::info);
    set_progress_style(ProgressStyle::automatic);
  }
};

TEST_F(Log, SaysWhatIsWrongAndNothingAboutItself) {
  EXPECT_EQ(stderr_of([] { info("7 blocks"); }), "7 blocks\n");
  EXPECT_EQ(stderr_of([] { warn("no sink token"); }), "warning: no sink token\n");
  EXPECT_EQ(stderr_of([] { log_error("disk full"); }), "mquant: error: disk full\n");
}

TEST_F(Log, AnErrorIsOneLineAndItsHintAnother) {
  EXPECT_EQ(stderr_of([] { log_error("no 'a\nb\x1b[31m'"); }), "mquant: error: no 'a\\x0ab\\x1b[31m'\n");
  EXPECT_EQ(stderr_of([] { log_error("no 'a\nb'", "look\nthere"); }),
            "mquant: error: no 'a\\x0ab'\nhint: look\\x0athere\n");
}

TEST_F(Log, LevelsHideWhatIsBelow) {
  EXPECT_EQ(stderr_of([] { debug("x"); }), "");
  set_log_level(LogLevel::debug);
  EXPECT_EQ(stderr_of([] { debug("x"); }), "debug: x\n");
  set_log_level(LogLevel::error);
  EXPECT_EQ(stderr_of([] { warn("x"); }), "");
  set_log_level(LogLevel::off);
  EXPECT_EQ(stderr_of([] { log_error("x"); }), "");
}

TEST_F(Log, BracesAndPercentSignsAreText) {
  EXPECT_EQ(stderr_of([] { info("{} %s {0}"); }), "{} %s {0}\n");
}

TEST_F(Log, ControlCharactersOfFilesDoNotReachTheTerminal) {
  EXPECT_EQ(stderr_of([] { info("tensor '\033[2J\r'"); }), "tensor '\\x1b[2J\\x0d'\n");
}

TEST_F(Log, AMessageIsOneLine) {
  EXPECT_EQ(stderr_of([] { warn("directory 'new\nline'"); }), "warning: directory 'new\\x0aline'\n");
  EXPECT_LT(stderr_of([] { info("model type '" + std::string(100'000, 'x') + "'"); }).size(), 500U);
}

TEST_F(Log, IsJsonWhenProgressIs) {
  set_progress_style(ProgressStyle::json);
  EXPECT_EQ(stderr_of([] { warn("a \"b\" \\ \n"); }),
            R"({"event": "log", "level": "warning", "message": "a \"b\" \\ \\x0a"})"
            "\n");
}

TEST_F(Log, TheFileGetsEveryLineWithItsTime) {
  const test::TempDir directory;
  test::write_text(directory / "log", "earlier\n");
  stderr_of([&] {
    set_log_file((directory / "log").string());
    warn("slow disk");
  });
  EXPECT_THAT(test::read_text(directory / "log"),
              testing::MatchesRegex("earlier\n[0-9]{4}-[0-9-]+ [0-9:.]+ warning slow disk\n"));
}

TEST_F(Log, AFileThatCannotBeOpenedIsAnError) {
  const test::TempDir directory;
  try {
    set_log_file(directory.path().string());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::resources);
    EXPECT_THAT(error.what(), HasSubstr(directory.path().string()));
  }
}

TEST(InterruptDeathTest, TheFirstSignalEndsTheLoopTheSecondTheProcess) {
  EXPECT_EXIT(
      {
        install_interrupt_handler();
        check_interrupt();
        raise(SIGINT);
        try {
          check_interrupt();
        } catch (const Error& error) {
          _exit(error.exit_code() == 130 ? 0 : 1);
        }
        _exit(2);
      },
      testing::ExitedWithCode(0), "stopping after this step");
  EXPECT_EXIT(
      {
        install_interrupt_handler();
        raise(SIGTERM);
        raise(SIGINT);
        _exit(0);
      },
      testing::ExitedWithCode(130), "");
}

}  // namespace
}  // namespace mquant
