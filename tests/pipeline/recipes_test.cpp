// Every recipe of configs/ runs to an artifact that verify accepts; one that breaks a contract is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>

#include "eval/loaded_model.h"
#include "mquant/artifact.h"
#include "mquant/error.h"
#include "mquant/recipe.h"
#include "tests/pipeline/runs.h"
#include "tests/support/files.h"
#include "tests/support/temp_dir.h"

namespace mquant::test {
namespace {

std::vector<std::string> recipe_names() {
  std::vector<std::string> names;
  for (const RecipeInfo& info : all_recipes()) names.push_back(info.name);
  return names;
}

class Recipes : public testing::TestWithParam<std::string> {};

TEST_P(Recipes, MakeAnArtifactThatVerifyAccepts) {
  const TempDir directory;
  const nlohmann::json report = nlohmann::json::parse(
      calibrate_into(directory / "calibration", qwen2_vl(),
                     {.recipe = GetParam(), .overrides = {"calibration.samples=3"}, .verify_each = true}));
  ASSERT_TRUE(report.contains("verified"));
  EXPECT_LT(report["verified"].get<double>(), 1e-4);
  int quantized = 0;
  for (const auto& linear : report["linears"]) quantized += linear["scheme"] == "float" ? 0 : 1;
  EXPECT_GE(quantized, 3 * 7);
  export_into(directory / "artifact", directory / "calibration");
  const LoadedModel model = LoadedModel::open(directory / "artifact");
  const VerifyReport verified = verify_artifact(directory / "artifact", model.spec());
  EXPECT_THAT(verified.problems, testing::IsEmpty());
  EXPECT_EQ(verified.linears, 1 + 2 * 4 + 2 + 3 * 7 + 1);  // as stored: q, k and v of a vision block are one
  std::vector<KvCache> none;
  const Sample photo = sample_named(qwen2_vl().samples, "photo");
  const at::Tensor logits =
      model.logits(model.features({photo}, WithAnswer::no).front(), none, 0, LogitRows::all);
  EXPECT_TRUE(logits.isfinite().all().item<bool>());
}

INSTANTIATE_TEST_SUITE_P(Configs, Recipes, testing::ValuesIn(recipe_names()), [](const auto& test) {
  std::string name = test.param;
  std::ranges::replace_if(name, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; }, '_');
  return name;
});

TEST(RecipesInConfigs, AreFound) {
  EXPECT_THAT(recipe_names(), testing::IsSupersetOf({"w4a8", "w4a8-offline", "w8a8"}));
}

/// In Gemma norms keep their scales, and what they write is rotated online: no place for the factors of smooth.
TEST(Smooth, LeavesLinearsAloneWhoseInputIsRotatedOnline) {
  const TempDir directory;
  write_text(directory / "r.json", R"({"schemes": {"vision": "w8a8", "projector": "w8a8", "decoder": "w8a8"},
    "passes": [{"pass": "rotate-online"}, {"pass": "smooth"}, {"pass": "calibrate-scales"},
               {"pass": "round", "method": "rtn"}]})");
  const TestData gemma{data_path("goldens/gemma3/model"), data_path("goldens/gemma3/cases.jsonl")};
  const nlohmann::json report = nlohmann::json::parse(
      calibrate_into(directory / "calibration", gemma, {.recipe = directory / "r.json"}));
  EXPECT_LT(report["self_check"]["agreement"]["text"]["kl"].get<double>(), 0.01);
}

TEST(RecipesInConfigs, ABrokenOneLeavesNothing) {
  const TempDir directory;
  try {
    calibrate_into(directory / "calibration", qwen2_vl(), {.overrides = {"drop=calibrate-scales"}});
    FAIL() << "calibrated without scales";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage) << error.what();
    EXPECT_THAT(error.what(), testing::HasSubstr("needs input scales"));
  }
  EXPECT_FALSE(std::filesystem::exists(directory / "calibration"));
}

}  // namespace
}  // namespace mquant::test
