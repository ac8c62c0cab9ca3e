// Every family's forward pass equals the official code's: hidden states, logits, greedy tokens.  (Inputs: tests/unit/families.)
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "eval/greedy.h"
#include "eval/loaded_model.h"
#include "io/safetensors.h"
#include "mquant/error.h"
#include "nn/tensors.h"
#include "tests/families/goldens.h"

namespace mquant::test {
namespace {

constexpr double kHiddenBound = 1e-4;  // of the reference's largest magnitude

class Golden {
 public:
  explicit Golden(const std::string& name)
      : directory(golden_path(name)),
        tensors(directory / "golden.safetensors"),
        json(nlohmann::json::parse(std::ifstream(directory / "golden.json"))),
        samples(read_samples(directory / "cases.jsonl")) {}

  bool has(const std::string& name) const { return tensors.has(name); }
  at::Tensor get(const std::string& name, at::ScalarType dtype) const {
    return to_tensor(tensors.get(name), dtype);
  }

  std::filesystem::path directory;
  SafetensorsFile tensors;
  nlohmann::json json;
  std::vector<Sample> samples;
};

/// @param half  the reference is stored with 11 significant bits
void expect_close(const at::Tensor& found, const at::Tensor& wanted, bool half, const std::string& what) {
  ASSERT_EQ(found.sizes(), wanted.sizes()) << what;
  const at::Tensor rounding = wanted.to(at::kDouble).abs() * (half ? 0x1p-11 : 0.0);
  const double difference = (((found.to(at::kDouble) - wanted.to(at::kDouble)).abs() - rounding).max() /
                             wanted.to(at::kDouble).abs().max())
                                .item<double>();
  EXPECT_LT(difference, kHiddenBound) << what;
}

class FamilyGolden : public testing::TestWithParam<std::string> {
 protected:
  FamilyGolden() : golden_(GetParam()), model_(LoadedModel::open(golden_.directory / "model")) {}

  Features features(const Sample& sample) const { return model_.features({sample}, WithAnswer::no).front(); }

  Golden golden_;
  LoadedModel model_;
};

TEST_P(FamilyGolden, HiddenStatesAndLogits) {
  std::size_t compared = 0;
  for (const bool cached : {false, true})
    for (const Sample& sample : golden_.samples) {
      const Features f = features(sample);
      std::int64_t vision = 0, tokens = 0;
      const auto compare = [&](const std::string& name, const at::Tensor& found) {
        if (!golden_.has(sample.id + "/" + name)) return;
        const at::Tensor wanted = golden_.get(sample.id + "/" + name, at::kFloat);
        const bool half = golden_.tensors.get(sample.id + "/" + name).dtype == DType::f16;
        expect_close(found.reshape(wanted.sizes()), wanted, half, sample.id + " " + name);
        ++compared;
      };
      const auto after = [&](const BlockSpec& spec, const SampleState& state) {
        if (spec.writes("visual")) compare("vision_embeds", state.registers.at("visual"));
        if (!spec.writes("x") || !state.registers.contains("x")) return;
        compare(spec.on_tokens ? cat("hidden.", tokens++) : cat("vision.hidden.", vision++),
                state.registers.at("x"));
      };
      std::vector<KvCache> caches;
      if (cached) caches = model_.make_caches(static_cast<std::int64_t>(f.input_ids.size()));
      const at::Tensor logits = model_.logits(f, caches, 0, LogitRows::all, after);
      compare("logits", logits);
      compare("logits_last", logits.select(0, logits.size(0) - 1));
    }
  EXPECT_GT(compared, 3 * golden_.samples.size());
}

TEST_P(FamilyGolden, GreedyTokensWithAndWithoutCache) {
  for (const bool cache : {true, false})
    for (const Sample& sample : golden_.samples) {
      const auto& told = golden_.json["cases"][sample.id];
      const auto wanted =
          told[told.contains("greedy") ? "greedy" : "greedy_next_8"].get<std::vector<std::int64_t>>();
      const GreedyOptions options{
          .max_new_tokens = static_cast<std::int64_t>(wanted.size()), .stop = false, .cache = cache};
      EXPECT_EQ(greedy(model_, features(sample), options), wanted) << sample.id << " cache " << cache;
    }
}

INSTANTIATE_TEST_SUITE_P(AllFamilies, FamilyGolden, testing::ValuesIn(golden_families()),
                         [](const auto& family) { return family.param; });

}  // namespace
}  // namespace mquant::test
