// The float baselines compute the model: block by block through ATen, they give the logits of the float model.
#include "bench/float_walk.h"

#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "bench/workload.h"
#include "eval/loaded_model.h"
#include "pipeline/source.h"
#include "tests/families/goldens.h"

namespace mquant::test {
namespace {

constexpr std::int64_t kSteps = 3, kBatch = 2;
constexpr double kFloat32Bound = 2e-4, kBFloat16Bound = 0.15;  // of the largest logit

double difference(const at::Tensor& found, const at::Tensor& expected) {
  const at::Tensor all = expected.expand_as(found);
  return (found.to(at::kFloat) - all).abs().max().item<double>() / expected.abs().max().item<double>();
}

/// The longest prompt: the one with the most pictures or the largest.
Features longest(const LoadedModel& model, const std::filesystem::path& cases) {
  const std::vector<Features> all = model.features(read_samples(cases), WithAnswer::no);
  return *std::ranges::max_element(all, {}, [](const Features& f) { return f.input_ids.size(); });
}

class FloatWalks : public testing::TestWithParam<std::string> {};

TEST_P(FloatWalks, GiveTheLogitsOfTheModel) {
  const c10::InferenceMode no_gradients;
  const std::filesystem::path golden = golden_path(GetParam());
  const LoadedModel model = LoadedModel::open(golden / "model");
  const SourceModel source = open_source(golden / "model");
  const Features prompt = longest(model, golden / "cases.jsonl");
  const FloatPlan plan{.prompt = &prompt,
                       .batch = kBatch,
                       .decode_tokens = kSteps,
                       .vocabulary = model.spec().vocabulary,
                       .from_memory = false};
  FloatWalk walk(plan, {{.dtype = at::kFloat, .prefills = 2, .decodes = 1},
                        {.dtype = at::kBFloat16, .prefills = 1, .decodes = 2},
                        {.dtype = at::kFloat, .prefills = 0, .decodes = 1}});
  for (const BlockSpec& spec : source.model.blocks)
    walk.run(load_block(source.checkpoint, source.model, spec, at::kFloat));

  const auto tokens = static_cast<std::int64_t>(prompt.input_ids.size());
  std::vector<KvCache> caches = model.make_caches(tokens + kSteps);
  const at::Tensor expected = model.logits(prompt, caches, 0, LogitRows::last);
  ASSERT_EQ(walk.logits(0).size(0), kBatch);
  EXPECT_LT(difference(walk.logits(0), expected), kFloat32Bound);
  EXPECT_EQ(walk.logits(1).scalar_type(), at::kBFloat16);
  EXPECT_LT(difference(walk.logits(1), expected), kBFloat16Bound);
  for (std::int64_t i = 0; i < kSteps; ++i) {
    const Features step = decode_step(prompt, decoded_token(i, model.spec().vocabulary), i);
    const at::Tensor next = model.logits(step, caches, tokens + i, LogitRows::last);
    ASSERT_EQ(walk.decoded_logits(0, i).size(0), kBatch);
    EXPECT_LT(difference(walk.decoded_logits(0, i), next), kFloat32Bound) << "step " << i;
    EXPECT_LT(difference(walk.decoded_logits(1, i), next), kBFloat16Bound) << "step " << i;
    EXPECT_LT(difference(walk.decoded_logits(2, i), next), kFloat32Bound)
        << "step " << i << " on others' keys";
  }
}

INSTANTIATE_TEST_SUITE_P(AllFamilies, FloatWalks, testing::ValuesIn(golden_families()),
                         [](const auto& family) { return family.param; });

TEST(FloatWalk, CountsARepetitionForEachAskedFor) {
  const c10::InferenceMode no_gradients;
  const LoadedModel model = LoadedModel::open(golden_path("qwen2_vl") / "model");
  const SourceModel source = open_source(golden_path("qwen2_vl") / "model");
  const Features prompt = longest(model, golden_path("qwen2_vl") / "cases.jsonl");
  FloatWalk walk(
      {.prompt = &prompt, .batch = 1, .decode_tokens = 1, .vocabulary = model.spec().vocabulary},
      {{.dtype = at::kFloat, .prefills = 3, .decodes = 2}, {.dtype = at::kBFloat16, .decodes = 1}});
  for (const BlockSpec& spec : source.model.blocks)
    walk.run(load_block(source.checkpoint, source.model, spec, at::kFloat));
  EXPECT_EQ(walk.prefills(0).size(), 3U);
  EXPECT_EQ(walk.decodes(0).size(), 2U);
  EXPECT_EQ(walk.prefills(1).size(), 0U);
  EXPECT_EQ(walk.decodes(1).size(), 1U);
  for (const PassSeconds& pass : walk.prefills(0)) {
    EXPECT_GT(pass.vision[BenchStage::linears], 0);
    EXPECT_GT(pass.decoder[BenchStage::attention], 0);
    EXPECT_EQ(pass.decoder[BenchStage::quantize], 0);
    EXPECT_EQ(pass.decoder[BenchStage::hadamard], 0);
  }
  for (const PassSeconds& pass : walk.decodes(0)) EXPECT_EQ(pass.vision.total(), 0);
}

}  // namespace
}  // namespace mquant::test
