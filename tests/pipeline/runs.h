// Calibrations and exports of the small models in tests/data, and comparisons of what they leave on disk.
#pragma once

#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "mquant/compile.h"

namespace mquant::test {

/// A model and samples for it.
struct TestData {
  std::filesystem::path model, samples;
};
/// A trained model of 4 vision and 6 decoder blocks: answers are right.
TestData digits();
/// Random weights, 2 vision and 3 decoder blocks; samples with pictures, without, with two, and a chat.
TestData qwen2_vl();

struct RunOptions {
  std::string recipe = "w4a8";
  std::vector<std::string> overrides;
  int threads = 1;
  bool verify_each = false;
  Executor executor = Executor::fast;
  std::int64_t memory_bytes = 0;
};

/// @returns the report, JSON
std::string calibrate_into(const std::filesystem::path& output, const TestData& data,
                           const RunOptions& options = {});
ExportReport export_into(const std::filesystem::path& output, const std::filesystem::path& calibration,
                         const std::string& format = "auto");

/// The sample "id" of a file.
Sample sample_named(const std::filesystem::path& samples, const std::string& id);

/// Files below `directory`, as relative paths.
std::set<std::string> files_below(const std::filesystem::path& directory);
/// Both hold the same files with the same bytes, and at least `least` of them.
void expect_same_files(const std::filesystem::path& a, const std::filesystem::path& b, std::size_t least);

}  // namespace mquant::test
