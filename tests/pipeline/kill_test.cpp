// A calibration that is killed and resumed leaves the bytes of one that was not disturbed.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string_view>
#include <thread>
#include <tuple>

#include "mquant/error.h"
#include "support/rng.h"
#include "tests/pipeline/child.h"
#include "tests/pipeline/runs.h"
#include "tests/support/files.h"
#include "tests/support/temp_dir.h"

namespace mquant::test {
namespace fs = std::filesystem;
namespace {

/// @param minutes  between states that are kept: 0 keeps one after each block, 10 none at all
std::vector<std::string> command(const fs::path& output, bool resume, const char* minutes = "0") {
  std::vector<std::string> words = {MQUANT_PROGRAM,
                                    "calibrate",
                                    digits().model,
                                    "--data",
                                    digits().samples,
                                    "--output",
                                    output,
                                    "--set",
                                    "calibration.samples=4",
                                    "--checkpoint-minutes",
                                    minutes,
                                    "--threads",
                                    "1"};
  if (resume) words.push_back("--resume");
  return words;
}

/// Lines of the journal that begin as `begin` does.
std::ptrdiff_t journal_lines(const fs::path& calibration, std::string_view begin = "{\"block\"") {
  const fs::path journal = calibration / "journal.jsonl";
  if (!fs::exists(journal)) return 0;
  std::istringstream text(read_text(journal));
  std::ptrdiff_t lines = 0;
  for (std::string line; std::getline(text, line);) lines += line.starts_with(begin) && !text.eof() ? 1 : 0;
  return lines;
}

class Kill : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory_ = std::make_unique<TempDir>();
    Child child(command(whole(), false));
    ASSERT_EQ(child.wait(), 0);
    export_into(*directory_ / "whole-artifact", whole());
  }
  static void TearDownTestSuite() { directory_.reset(); }

  static fs::path whole() { return *directory_ / "whole"; }

  /// Of report.json, all blocks.
  static nlohmann::json counters(const fs::path& calibration) {
    const nlohmann::json report = nlohmann::json::parse(read_text(calibration / "report.json"));
    EXPECT_FALSE(report.at("counters").empty());
    return report.at("counters");
  }

  static void expect_as_undisturbed(const fs::path& calibration) {
    expect_same_files(whole() / "blocks", calibration / "blocks", 28);
    EXPECT_EQ(read_text(whole() / "run.json"), read_text(calibration / "run.json"));
    EXPECT_FALSE(fs::exists(calibration / "state"));
    EXPECT_EQ(counters(whole()), counters(calibration));
    const fs::path artifact = calibration.string() + "-artifact";
    export_into(artifact, calibration);
    expect_same_files(*directory_ / "whole-artifact", artifact, 3);
  }

  static std::unique_ptr<TempDir> directory_;
};

std::unique_ptr<TempDir> Kill::directory_;

/// Lets `child` calibrate until `lines` stand in the journal and `delay` has passed, and kills it.
bool kill_behind(Child& child, const fs::path& calibration, std::ptrdiff_t lines,
                 std::chrono::microseconds delay) {
  while (child.running() && journal_lines(calibration) < lines)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  std::this_thread::sleep_for(delay);
  return child.kill();
}

class KillAfterBlocks : public Kill,
                        public testing::WithParamInterface<std::tuple<std::ptrdiff_t, const char*>> {};

TEST_P(KillAfterBlocks, ResumesToTheSameBytes) {
  const auto [lines, minutes] = GetParam();
  bool killed = false;
  fs::path calibration;
  for (int attempt = 0; attempt < 5 && !killed;
       ++attempt) {  // a busy machine may let the child run to its end
    calibration = *directory_ / cat("after-", lines, "-", minutes, "-", attempt);
    Child child(command(calibration, false, minutes));
    killed = kill_behind(child, calibration, lines, {});
  }
  ASSERT_TRUE(killed);
  ASSERT_GE(journal_lines(calibration), lines);
  const std::string before = read_text(calibration / "journal.jsonl");
  const std::ptrdiff_t states = journal_lines(calibration, "{\"state\"");
  if (std::string_view(minutes) == "0")
    EXPECT_GE(states, lines - 1);
  else
    EXPECT_EQ(states, 0);
  Child resumed(command(calibration, true, minutes));
  ASSERT_EQ(resumed.wait(), 0);
  EXPECT_TRUE(read_text(calibration / "journal.jsonl").starts_with(before)) << "blocks were calibrated again";
  expect_as_undisturbed(calibration);
}

INSTANTIATE_TEST_SUITE_P(Journal, KillAfterBlocks,
                         testing::Combine(testing::Values(1, 3, 7, 10), testing::Values("0", "10")));

/// The samples before the block that Ctrl-C cut short are kept, though no state was due.
TEST_F(Kill, AfterCtrlCTheSamplesContinueWhereTheyWere) {
  for (int attempt = 0; attempt < 5; ++attempt) {
    const fs::path calibration = *directory_ / cat("interrupted-", attempt);
    Child child(command(calibration, false, "10"));
    while (child.running() && journal_lines(calibration) < 3)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (!child.interrupt() || child.wait() == 0) continue;  // it ended by itself
    const std::string journal = read_text(calibration / "journal.jsonl");
    EXPECT_EQ(journal_lines(calibration, "{\"state\""), 1) << journal;
    Child resumed(command(calibration, true, "10"));
    ASSERT_EQ(resumed.wait(), 0);
    expect_as_undisturbed(calibration);
    return;
  }
  FAIL() << "no child was interrupted";
}

/// Blocks of which only codes are stored cannot take samples that run in float: those without a state are made again.
TEST_F(Kill, BetweenABlockAndItsStateContinuesWhereSamplesRunInFloat) {
  const auto run = [](const fs::path& calibration, bool resume) {
    std::vector<std::string> words = command(calibration, resume);
    words.insert(words.end(), {"--set", "calibration.propagate=float"});
    Child child(words);
    return child.wait();
  };
  const fs::path whole_float = *directory_ / "float-whole", cut = *directory_ / "float-cut";
  ASSERT_EQ(run(whole_float, false), 0);
  fs::create_directory(cut);
  for (const char* part : {"run.json", "blocks"})
    fs::copy(whole_float / part, cut / part, fs::copy_options::recursive);
  fs::create_directory(cut / "state");
  // Three blocks are done, and no state has been kept: as a kill leaves it before the first state is written.
  std::istringstream journal(read_text(whole_float / "journal.jsonl"));
  std::string kept;
  int blocks = 0;
  for (std::string line; blocks < 3 && std::getline(journal, line);)
    if (line.starts_with("{\"block\"")) {
      kept += line + "\n";
      ++blocks;
    }
  write_text(cut / "journal.jsonl", kept);
  ASSERT_EQ(run(cut, true), 0);
  expect_same_files(whole_float / "blocks", cut / "blocks", 28);
  EXPECT_EQ(counters(whole_float), counters(cut));
}

/// What a kill between the last block and the end of the journal leaves.
TEST_F(Kill, BehindTheLastBlockOnlyTheReportIsMade) {
  const fs::path calibration = *directory_ / "last";
  fs::copy(whole(), calibration, fs::copy_options::recursive);
  std::string journal = read_text(calibration / "journal.jsonl");
  journal.resize(journal.rfind("{\"finished\""));
  write_text(calibration / "journal.jsonl", journal);
  fs::remove(calibration / "report.json");
  fs::create_directory(calibration / "state");
  Child resumed(command(calibration, true));
  ASSERT_EQ(resumed.wait(), 0);
  EXPECT_TRUE(fs::exists(calibration / "report.json"));
  expect_as_undisturbed(calibration);
}

TEST_F(Kill, AtRandomMomentsResumesToTheSameBytes) {
  Rng rng(3);
  const fs::path calibration = *directory_ / "random";
  int kills = 0;
  for (int i = 0; i < 10; ++i) {
    const std::ptrdiff_t lines = journal_lines(calibration) + static_cast<std::ptrdiff_t>(rng.next() % 3);
    const std::chrono::microseconds delay(rng.next() % 60'000);
    Child child(command(calibration, true, i % 2 == 0 ? "0" : "10"));
    kills += kill_behind(child, calibration, lines, delay) ? 1 : 0;
  }
  EXPECT_GE(kills, 1);  // how many depends on what else the machine does
  Child last(command(calibration, true));
  ASSERT_EQ(last.wait(), 0);
  expect_as_undisturbed(calibration);
}

}  // namespace
}  // namespace mquant::test
