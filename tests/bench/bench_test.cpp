// A whole benchmark of a small artifact: the report is complete, and its numbers agree with each other.
#include "mquant/bench.h"

#include <gtest/gtest.h>

#include <cmath>

#include "mquant/error.h"
#include "tests/pipeline/runs.h"
#include "tests/support/temp_dir.h"

namespace mquant::test {
namespace {

class Benchmark : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory_ = new TempDir;
    calibrate_into(*directory_ / "calibration", qwen2_vl(), {.overrides = {"round.method=rtn"}});
    export_into(*directory_ / "artifact", *directory_ / "calibration");
  }
  static void TearDownTestSuite() {
    delete directory_;
    directory_ = nullptr;
  }
  static BenchOptions options() {
    BenchOptions options{.artifact = *directory_ / "artifact", .pictures = {{56, 56}}, .text_tokens = 48};
    options.decode_tokens = 2;
    options.repetitions = 2;
    options.run.threads = 1;
    return options;
  }

  static TempDir* directory_;
};
TempDir* Benchmark::directory_ = nullptr;

void expect_complete(const BenchReport& report, const std::vector<PassSeconds>& passes,
                     const std::string& what) {
  EXPECT_EQ(passes.size(), 2U) << what;
  for (const PassSeconds& pass : passes) {
    double sum = 0;
    for (const BenchStage stage : kBenchStages) {
      EXPECT_GE(pass.vision[stage], 0) << what;
      EXPECT_GE(pass.decoder[stage], 0) << what;
      sum += pass.vision[stage] + pass.decoder[stage];
    }
    EXPECT_NEAR(pass.total(), sum, 1e-12 * sum) << what;
    EXPECT_GT(pass.decoder.total(), 0) << what;
  }
  EXPECT_EQ(report.workload.repetitions, 2);
}

TEST_F(Benchmark, ReportsEveryVariantThatItRuns) {
  const BenchReport report = bench(options());
  EXPECT_EQ(report.family, "qwen2_vl");
  EXPECT_EQ(report.workload.visual_tokens, 4);
  EXPECT_EQ(report.workload.vision_rows, 16);
  EXPECT_GT(report.load_seconds, 0);
  EXPECT_GT(report.memory.resident_bytes, 0);
  EXPECT_GE(report.memory.peak_bytes, report.memory.resident_bytes);
  ASSERT_EQ(report.variants.size(), kBenchVariants.size());
  for (std::size_t i = 0; i < kBenchVariants.size(); ++i) {
    const VariantReport& variant = report.variants[i];
    EXPECT_EQ(variant.variant, kBenchVariants[i]);
    const std::string name(bench_variant_name(variant.variant));
    expect_complete(report, variant.prefill, name);
    expect_complete(report, variant.decode, name);
    for (const PassSeconds& pass : variant.prefill) EXPECT_GT(pass.vision.total(), 0) << name;
    for (const PassSeconds& pass : variant.decode) EXPECT_EQ(pass.vision.total(), 0) << name;
  }
  EXPECT_GT(report.memory.layers.parameters, 50'000);
  EXPECT_GT(report.memory.layers.bytes, 0);
  EXPECT_GT(report.memory.ends.bytes, 0);
}

TEST_F(Benchmark, RatesTheProductsOfAllQuantizedLinears) {
  BenchOptions few = options();
  few.variants = {BenchVariant::aifs};
  const BenchReport report = bench(few);
  ASSERT_FALSE(report.kernels.empty());
  for (const KernelReport& kernel : report.kernels) {
    EXPECT_GT(kernel.seconds, 0) << kernel.linear;
    EXPECT_EQ(kernel.operations, 2.0 * static_cast<double>(kernel.rows * kernel.out * kernel.in))
        << kernel.linear;
    EXPECT_GE(kernel.bytes, static_cast<double>(kernel.out * kernel.in * kernel.weight_bits / 8))
        << kernel.linear;
    EXPECT_TRUE(kernel.phase == BenchPhase::prefill || kernel.rows == 1) << kernel.linear;
    // libtorch's: of a prefill, and only where its sums are right.
    EXPECT_TRUE(std::isnan(kernel.library_seconds) ||
                (kernel.phase == BenchPhase::prefill && kernel.library_seconds > 0))
        << kernel.linear;
  }
  const KernelReport decode = all_linears(report.kernels, BenchPhase::decode);
  EXPECT_EQ(decode.linears, 3 * 7) << "of three decoder blocks";
  EXPECT_GT(all_linears(report.kernels, BenchPhase::prefill).linears, decode.linears);
}

TEST_F(Benchmark, MeasuresTheMachineItRunsOn) {
  BenchOptions few = options();
  few.variants = {BenchVariant::aifs};
  few.decode_tokens = 0;
  const BenchReport report = bench(few);
  EXPECT_EQ(report.machine.threads, 1);
  EXPECT_GT(report.machine.integer.one_thread, 1e9);
  EXPECT_GT(report.machine.read.all_threads, 1e8);
  ASSERT_FALSE(report.machine.float32.empty());
  ASSERT_EQ(report.variants.size(), 1U);
  EXPECT_EQ(report.variants[0].prefill.size(), 2U);
  EXPECT_TRUE(report.variants[0].decode.empty()) << "nothing to decode";
}

TEST_F(Benchmark, LeavesOutABFloat16ThatWouldTakeTooLong) {
  BenchOptions few = options();
  few.variants = {BenchVariant::float32, BenchVariant::bfloat16};
  few.bfloat16_seconds = 0;
  const BenchReport report = bench(few);
  EXPECT_EQ(report.variants[0].prefill.size(), 2U);
  EXPECT_TRUE(report.variants[1].prefill.empty());
  EXPECT_TRUE(report.variants[1].decode.empty());
  EXPECT_NE(report.variants[1].note.find("prefill: 0 of 2 repetitions"), std::string::npos)
      << report.variants[1].note;
}

TEST_F(Benchmark, WantsAnArtifact) {
  BenchOptions wrong = options();
  wrong.artifact = qwen2_vl().model;
  try {
    bench(wrong);
    FAIL() << "a checkpoint was taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::input);
    EXPECT_NE(std::string(error.what()).find("expected an artifact"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace mquant::test
