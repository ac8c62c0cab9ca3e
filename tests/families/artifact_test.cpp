// The default recipe on every family, with scales of an int8 cache beside it: calibrate, export, verify, and what the artifact computes.
#include "mquant/artifact.h"

#include <gtest/gtest.h>

#include <cmath>

#include "artifact/check_linear.h"
#include "eval/loaded_model.h"
#include "mquant/compile.h"
#include "nn/stored.h"
#include "tests/families/goldens.h"
#include "tests/support/executors.h"
#include "tests/support/fake_quant.h"
#include "tests/support/temp_dir.h"

namespace mquant::test {
namespace {

constexpr double kBound = 1e-3;  // of the largest logit

void expect_scales(const std::vector<Block>& blocks) {
  int scales = 0;
  for (const Block& block : blocks)
    for (const LinearSpec& spec : block.spec().linears) {
      const Linear& linear = block.linear(spec.name);
      if (linear.quantized == nullptr) continue;
      EXPECT_FALSE(spec.stays_float) << block.spec().name << " " << spec.name;
      const ClassScales& of = linear.quantized->input_scales;
      if (linear.quantized->scheme.activation_bits == 16) {
        EXPECT_EQ(block.spec().name, "head");
        EXPECT_FALSE(largest(of)) << block.spec().name << " " << spec.name;
        continue;
      }
      for (const std::optional<float>& scale : of.scale)
        if (scale) {
          EXPECT_TRUE(*scale > 0 && std::isfinite(*scale)) << block.spec().name << " " << spec.name;
          ++scales;
        }
      const bool visual = of.of(TokenClass::visual).has_value(), text = of.of(TokenClass::text).has_value();
      const bool sees_visual = !block.spec().on_tokens || spec.rows != RowSet::others,
                 sees_text = block.spec().on_tokens && spec.rows != RowSet::visual;
      EXPECT_EQ(visual, sees_visual) << block.spec().name << " " << spec.name;
      EXPECT_EQ(text, sees_text) << block.spec().name << " " << spec.name;
    }
  EXPECT_GT(scales, 20);
}

/// Every block with a cache has scales, and logits by codes are near those by floats, but not the same.
void expect_int8_cache(LoadedModel& model, const std::vector<Block>& blocks, const Features& features) {
  for (const Block& block : blocks)
    EXPECT_EQ(block.kv_scales.has_value(), block.spec().has_kv_cache()) << block.spec().name;
  std::vector<KvCache> none;
  const at::Tensor floats = model.logits(features, none, 0, LogitRows::all);
  model.use_kv_cache(KvCacheType::int8);
  std::vector<KvCache> caches = model.make_caches(std::ssize(features.input_ids));
  EXPECT_GE(caches.size(), 1U);
  const at::Tensor codes = model.logits(features, caches, 0, LogitRows::all);
  EXPECT_TRUE(codes.equal(model.logits(features, none, 0, LogitRows::all)));
  EXPECT_FALSE(codes.equal(floats));
  // Random weights: int8 activations that fall to other codes move the logits by 0.04 to 0.12, depending on the seed.
  EXPECT_LT(relative_to_largest(codes, floats), 0.2);
}

class FamilyArtifact : public testing::TestWithParam<std::string> {};

TEST_P(FamilyArtifact, ComputesWhatItsCodesAndScalesMean) {
  const TempDir directory;
  const std::filesystem::path golden = golden_path(GetParam()), cases = golden / "cases.jsonl";
  CalibrateOptions options{
      .model = golden / "model", .data = cases, .output = directory / "calibration", .recipe = "w4a8-kv8"};
  options.run.threads = 1;
  options.verify_each = true;
  calibrate(options);
  export_artifact(
      {.calibration = directory / "calibration", .output = directory / "artifact", .format = "auto"});
  const LoadedModel calibration = LoadedModel::open(directory / "calibration");
  LoadedModel model = LoadedModel::open(directory / "artifact");
  const VerifyReport report = verify_artifact(directory / "artifact", model.spec());
  EXPECT_TRUE(report.problems.empty()) << report.problems.front();
  const Artifact artifact = Artifact::open(directory / "artifact", model.spec());
  std::vector<Block> blocks;
  for (const BlockSpec& spec : model.spec().blocks)
    blocks.push_back(from_stored(artifact.read(spec.name), spec));
  expect_scales(blocks);
  const std::vector<Features> all = model.features(read_samples(cases), WithAnswer::no);
  double worst = 0;
  for (const Features& features : all) {
    std::vector<KvCache> none;
    const at::Tensor logits = model.logits(features, none, 0, LogitRows::all);
    EXPECT_TRUE(logits.isfinite().all().item<bool>());
    EXPECT_TRUE(calibration.logits(features, none, 0, LogitRows::all).equal(logits));
    ReferenceRun run(features, Follow::reference);
    for (const Block& block : blocks) run.run(block);
    EXPECT_GE(run.linears, 10);
    worst = std::max(worst, relative_to_largest(logits, run.logits()));
  }
  EXPECT_LT(worst, kBound);
  const LoadedModel plain = LoadedModel::open(directory / "artifact", Executor::plain);
  for (const Features& features : all) {
    expect_same_numbers(plain, model, features);
    std::vector<KvCache> none;
    EXPECT_TRUE(plain.logits(features, none, 0, LogitRows::all)
                    .equal(model.logits(features, none, 0, LogitRows::all)))
        << "a head in codes is one kernel in both";
    expect_scaling_keeps_bits(model, features);
    expect_turns_are_one(model, features);
  }
  expect_batch_is_each_alone(model, all);
  expect_int8_cache(model, blocks, model.features(read_samples(cases), WithAnswer::no).front());
  std::printf("  %-12s artifact against its definition: %.1e\n", GetParam().c_str(), worst);
}

/// Linears with split columns, and those among them that are rows of a fused tensor.
struct SplitLinears {
  int all = 0, fused = 0, fused_and_rotated = 0;
};

SplitLinears split_linears(const Artifact& artifact, const ModelSpec& model) {
  SplitLinears found;
  for (const BlockSpec& spec : model.blocks) {
    const StoredBlock block = artifact.read(spec.name);
    for (const LinearSpec& linear : spec.linears) {
      const StoredLinear& stored = block.linears.at(linear.name);
      const bool fused = linear.weight.fused != Fused::none && linear.weight.stored_as.empty(),
                 quantized = stored.quantized.has_value(),
                 split = quantized && !stored.quantized->split.empty();
      found.all += split ? 1 : 0;
      found.fused += split && fused ? 1 : 0;
      found.fused_and_rotated += quantized && fused && stored.rotation ? 1 : 0;
    }
  }
  return found;
}

TEST_P(FamilyArtifact, HoldsSplitColumnsOfFusedMatrices) {
  const std::filesystem::path golden = golden_path(GetParam()), cases = golden / "cases.jsonl";
  for (const std::string columns : {"int8", "float"}) {
    SCOPED_TRACE(columns);
    const TempDir directory;
    CalibrateOptions options{
        .model = golden / "model",
        .data = cases,
        .output = directory / "calibration",
        .overrides = {"suppress.weight_ratio=1.01", "suppress.columns=" + columns, "round.method=rtn"}};
    options.run.threads = 1;
    calibrate(options);
    export_artifact({.calibration = directory / "calibration", .output = directory / "artifact"});
    const LoadedModel calibration = LoadedModel::open(directory / "calibration"),
                      artifact = LoadedModel::open(directory / "artifact"),
                      plain = LoadedModel::open(directory / "artifact", Executor::plain);
    const VerifyReport report = verify_artifact(directory / "artifact", artifact.spec());
    EXPECT_TRUE(report.problems.empty()) << report.problems.front();
    const SplitLinears split =
        split_linears(Artifact::open(directory / "artifact", artifact.spec()), artifact.spec());
    EXPECT_GT(split.all, 0);
    EXPECT_EQ(split.fused, split.fused_and_rotated);
    const bool keeps_mean_in_one_channel = GetParam() == "glm4v" || GetParam() == "cogvlm2";
    EXPECT_EQ(split.fused > 0, keeps_mean_in_one_channel);
    for (const Features& features : artifact.features(read_samples(cases), WithAnswer::no)) {
      std::vector<KvCache> none;
      const at::Tensor logits = artifact.logits(features, none, 0, LogitRows::all);
      EXPECT_TRUE(calibration.logits(features, none, 0, LogitRows::all).equal(logits));
      EXPECT_TRUE(plain.logits(features, none, 0, LogitRows::all).equal(logits));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(AllFamilies, FamilyArtifact, testing::ValuesIn(golden_families()),
                         [](const auto& family) { return family.param; });

}  // namespace
}  // namespace mquant::test
