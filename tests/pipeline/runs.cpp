#include "tests/pipeline/runs.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "mquant/sample.h"
#include "tests/support/files.h"

namespace mquant::test {
namespace fs = std::filesystem;

TestData digits() { return {data_path("digits-vl/model"), data_path("digits-vl/calib.jsonl")}; }

TestData qwen2_vl() {
  return {data_path("goldens/qwen2_vl/model"), data_path("goldens/qwen2_vl/cases.jsonl")};
}

std::string calibrate_into(const fs::path& output, const TestData& data, const RunOptions& options) {
  CalibrateOptions calibrate_options{.model = data.model,
                                     .data = data.samples,
                                     .output = output,
                                     .recipe = options.recipe,
                                     .overrides = options.overrides,
                                     .verify_each = options.verify_each,
                                     .executor = options.executor,
                                     .memory_bytes = options.memory_bytes};
  calibrate_options.run.threads = options.threads;
  return calibrate(calibrate_options);
}

ExportReport export_into(const fs::path& output, const fs::path& calibration, const std::string& format) {
  return export_artifact({.calibration = calibration, .output = output, .format = format});
}

Sample sample_named(const fs::path& file, const std::string& id) {
  const std::vector<Sample> samples = read_samples(file);
  const auto it = std::ranges::find(samples, id, &Sample::id);
  if (it == samples.end()) throw std::runtime_error(file.string() + ": no sample '" + id + "'");
  return *it;
}

std::set<std::string> files_below(const fs::path& directory) {
  std::set<std::string> names;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(directory))
    if (entry.is_regular_file()) names.insert(fs::relative(entry.path(), directory).string());
  return names;
}

void expect_same_files(const fs::path& a, const fs::path& b, std::size_t least) {
  const std::set<std::string> names = files_below(a);
  EXPECT_GE(names.size(), least) << a;
  ASSERT_EQ(names, files_below(b));
  for (const std::string& name : names) EXPECT_TRUE(read_text(a / name) == read_text(b / name)) << name;
}

}  // namespace mquant::test
