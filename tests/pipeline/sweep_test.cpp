// Samples go through every step of a block once, however often passes look; and whatever runs the
// steps, wherever samples wait, the calibration has the same bytes.
#include "pipeline/sweep.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mquant/recipe.h"
#include "pipeline/source.h"
#include "tests/pipeline/runs.h"
#include "tests/support/files.h"
#include "tests/support/temp_dir.h"

namespace mquant::test {
namespace {

using testing::Each;

class SweepOf : public testing::TestWithParam<Executor> {
 protected:
  SweepOf()
      : source_(open_source(qwen2_vl().model)),
        samples_(read_samples(qwen2_vl().samples)),
        features_(
            all_features(*source_.processor, source_.model, samples_, WithAnswer::yes, {}, Pixels::dropped)),
        states_(features_, 64, 64, {.memory_bytes = 4096, .batch_bytes = 1, .directory = directory_.path()}) {
    states_.start(pixels_of(*source_.processor, samples_, WithAnswer::yes));
  }

  TempDir directory_;
  SourceModel source_;
  std::vector<Sample> samples_;
  std::vector<Features> features_;
  StateStore states_;
};

TEST_P(SweepOf, ABlockRunsEachStepOnceHoweverOftenItIsLookedAt) {
  for (const BlockSpec& spec : source_.model.blocks) {
    Block block = load_block(source_.checkpoint, source_.model, spec, at::kFloat);
    Sweep sweep(block, states_, GetParam());
    for (const LinearGroup& group : linear_groups(spec)) {
      Collected collected;
      sweep.look(group, {.class_histogram = true}, collected);
      sweep.look(group, {.channel_max = true, .second_moment = SecondMomentRequest{}}, collected);
      EXPECT_GT(collected.histogram->inputs.total().rows, 0);
      EXPECT_EQ(collected.second_moment->rows(), collected.histogram->inputs.total().rows);
      EXPECT_EQ(collected.channel_max->size(), static_cast<std::size_t>(collected.width));
    }
    if (&spec != &source_.model.blocks.back()) sweep.finish();
    const std::size_t last = &spec != &source_.model.blocks.back() ? 0 : 1;  // logits are not wanted
    const std::vector<std::int64_t> runs(sweep.runs().begin(),
                                         sweep.runs().end() - static_cast<std::ptrdiff_t>(last));
    EXPECT_THAT(runs, Each(1)) << spec.name;
  }
}

/// Codes times their scales have the second moment that the integers have, times their unit.
TEST_P(SweepOf, MomentsOfCodesAreThoseOfWhatTheProductSees) {
  const BlockSpec& spec = source_.model.blocks.front();
  Block block = load_block(source_.checkpoint, source_.model, spec, at::kFloat);
  Sweep sweep(block, states_, GetParam());
  const LinearGroup group = linear_groups(spec).front();
  Collected collected;
  sweep.look(group, {.class_histogram = true}, collected);
  const float scale = collected.histogram->inputs.of(TokenClass::visual).absmax() / 127;
  ClassScales scales;
  scales.scale[static_cast<std::size_t>(TokenClass::visual)] = scale;
  sweep.look(group, {.second_moment = SecondMomentRequest{.weights = {1, 2, 1}, .scales = scales}},
             collected);
  CodeMoments& codes = *collected.second_moment->codes;
  double expected = 0;  // of column 0
  for (std::size_t i = 0; i < features_.size(); ++i) {
    if (features_[i].patches.empty()) continue;
    const at::Tensor pixels = pixels_of(*source_.processor, samples_, WithAnswer::yes)(i);
    for (std::int64_t r = 0; r < pixels.size(0); ++r) {
      const double seen =
          std::nearbyint(static_cast<double>(pixels.const_data_ptr<float>()[r * pixels.size(1)]) /
                         static_cast<double>(scale)) *
          static_cast<double>(scale);
      expected += 2 * seen * seen;
    }
  }
  EXPECT_NEAR(static_cast<double>(codes.entry(0, 0)) * collected.second_moment->unit, expected,
              1e-3 * expected);
}

INSTANTIATE_TEST_SUITE_P(Executors, SweepOf, testing::Values(Executor::fast, Executor::plain),
                         [](const auto& test) { return test.param == Executor::fast ? "Fast" : "Plain"; });

struct Variant {
  const char *name, *recipe;
  std::vector<std::string> overrides = {};
};

class SameCalibration : public testing::TestWithParam<Variant> {
 protected:
  /// Calibrates twice, the second time with `change`, and compares all that decides the artifact.
  void expect_same(const std::function<void(RunOptions&)>& change) const {
    const TempDir directory;
    RunOptions options{.recipe = GetParam().recipe, .overrides = GetParam().overrides};
    calibrate_into(directory / "one", qwen2_vl(), options);
    change(options);
    calibrate_into(directory / "two", qwen2_vl(), options);
    expect_same_files(directory / "one" / "blocks", directory / "two" / "blocks", 10);
    EXPECT_EQ(read_text(directory / "one" / "run.json"), read_text(directory / "two" / "run.json"));
  }
};

TEST_P(SameCalibration, ByEitherExecutor) {
  expect_same([](RunOptions& options) { options.executor = Executor::plain; });
}

/// One byte of memory: as little as there can be for the samples.
TEST_P(SameCalibration, WithSamplesOnDisk) {
  expect_same([](RunOptions& options) { options.memory_bytes = 1; });
}

INSTANTIATE_TEST_SUITE_P(Recipes, SameCalibration,
                         testing::Values(Variant{"Default", "w4a8"}, Variant{"Cache", "w4a8-kv8"},
                                         Variant{"Smoothed", "smoothquant-w4a8-static"},
                                         Variant{"FloatMoments", "w4a8", {"round.inputs=float"}},
                                         Variant{"WeightsOnly", "w4a8", {"schemes.decoder=w4a16"}},
                                         Variant{"InputsOnly", "w4a8", {"schemes.decoder=w16a8"}},
                                         Variant{"PropagatesFloat", "w4a8", {"calibration.propagate=float"}}),
                         [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace mquant::test
