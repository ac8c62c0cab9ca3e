// A calibration by w4a8-kv8 and its artifact, one for all tests of a suite.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>

#include "tests/pipeline/runs.h"
#include "tests/support/temp_dir.h"

namespace mquant::test {

class Kv8Run : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory_ = std::make_unique<TempDir>();
    calibrate_into(calibration(), qwen2_vl(), {.recipe = "w4a8-kv8"});
    export_into(artifact(), calibration());
  }
  static void TearDownTestSuite() { directory_.reset(); }
  static std::filesystem::path calibration() { return *directory_ / "calibration"; }
  static std::filesystem::path artifact() { return *directory_ / "artifact"; }

  inline static std::unique_ptr<TempDir> directory_;
};

}  // namespace mquant::test
