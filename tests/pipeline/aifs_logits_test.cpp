// AIFS: reordering tokens changes no bit of a quantized model's logits, in prefill and in decode steps.
#include <gtest/gtest.h>

#include <algorithm>

#include "eval/loaded_model.h"
#include "nn/token_order.h"
#include "tests/pipeline/runs.h"
#include "tests/support/temp_dir.h"

namespace mquant::test {
namespace {

constexpr int kDecodeSteps = 4;

struct Case {
  std::string sample;
  bool sink;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.sample << (c.sink ? " with a sink" : ""); }

/// Logits of the prompt, then of tokens decoded greedily with the cache.
std::vector<at::Tensor> logits_of(const LoadedModel& model, const Features& features) {
  const auto prompt = static_cast<std::int64_t>(features.input_ids.size());
  std::vector<KvCache> caches = model.make_caches(prompt + kDecodeSteps);
  std::vector<at::Tensor> logits = {model.logits(features, caches, 0, LogitRows::all)};
  for (int i = 0; i < kDecodeSteps; ++i) {
    const auto token = logits.back().select(0, logits.back().size(0) - 1).argmax().item<std::int64_t>();
    logits.push_back(model.logits(decode_step(features, token, i), caches, prompt + i, LogitRows::all));
  }
  return logits;
}

class AifsLogits : public testing::TestWithParam<Case> {};

TEST_P(AifsLogits, AreBitIdentical) {
  const TempDir directory;
  RunOptions options;
  if (GetParam().sink) options.overrides = {"calibration.sink=true"};
  calibrate_into(directory / "calibration", qwen2_vl(), options);
  LoadedModel model = LoadedModel::open(directory / "calibration");
  ASSERT_TRUE(model.is_quantized());
  EXPECT_TRUE(model.order_tokens);  // as w4a8 has it
  const Sample sample = sample_named(qwen2_vl().samples, GetParam().sample);
  const Features features = model.features({sample}, WithAnswer::no).front();
  if (GetParam().sample != "text") {
    ASSERT_FALSE(std::ranges::is_sorted(class_order(features.token_class))) << "nothing to reorder";
  }
  const std::vector<at::Tensor> ordered = logits_of(model, features);
  model.order_tokens = false;
  const std::vector<at::Tensor> plain = logits_of(model, features);
  ASSERT_EQ(ordered.size(), 1U + kDecodeSteps);
  for (std::size_t i = 0; i < ordered.size(); ++i) EXPECT_TRUE(ordered[i].equal(plain[i])) << "pass " << i;
}

INSTANTIATE_TEST_SUITE_P(Samples, AifsLogits,
                         testing::Values(Case{"text", false}, Case{"two_images", false}, Case{"chat", false},
                                         Case{"two_images", true}));

}  // namespace
}  // namespace mquant::test
