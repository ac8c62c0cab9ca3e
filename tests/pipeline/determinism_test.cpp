// The same model, samples, recipe and seed give the same bytes, whatever the number of threads.
#include <gtest/gtest.h>

#include "tests/pipeline/runs.h"
#include "tests/support/files.h"
#include "tests/support/temp_dir.h"

namespace mquant::test {
namespace {

/// Blocks, artifact, and everything else but what tells about the run itself.
void expect_same_results(const std::filesystem::path& a, const std::filesystem::path& b) {
  expect_same_files(a / "blocks", b / "blocks", 10);
  EXPECT_EQ(read_text(a / "run.json"), read_text(b / "run.json"));
  const std::filesystem::path artifact_a = a.string() + "-artifact", artifact_b = b.string() + "-artifact";
  export_into(artifact_a, a);
  export_into(artifact_b, b);
  expect_same_files(artifact_a, artifact_b, 3);
}

TEST(Determinism, OneAndTwoThreadsGiveTheSameBytes) {
  const TempDir directory;
  const RunOptions one{.overrides = {"calibration.samples=3"}, .threads = 1};
  const RunOptions two{.overrides = {"calibration.samples=3"}, .threads = 2};
  calibrate_into(directory / "one", digits(), one);
  calibrate_into(directory / "two", digits(), two);
  expect_same_results(directory / "one", directory / "two");
}

TEST(Determinism, OneAndTwoThreadsGiveTheSameBytesWithoutOnlineRotations) {
  const TempDir directory;
  calibrate_into(directory / "one", qwen2_vl(), {.recipe = "w4a8-offline", .threads = 1});
  calibrate_into(directory / "two", qwen2_vl(), {.recipe = "w4a8-offline", .threads = 2});
  expect_same_results(directory / "one", directory / "two");
}

TEST(Determinism, AnotherRunGivesTheSameBytes) {
  const TempDir directory;
  calibrate_into(directory / "first", qwen2_vl());
  calibrate_into(directory / "second", qwen2_vl());
  expect_same_results(directory / "first", directory / "second");
}

}  // namespace
}  // namespace mquant::test
