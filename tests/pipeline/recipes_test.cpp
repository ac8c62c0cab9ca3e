// Every recipe of configs/ runs to an artifact that verify accepts; pass orders that break it are refused.
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

struct Broken {
  std::vector<std::string> drop;
  std::string message;
};

void PrintTo(const Broken& broken, std::ostream* out) { *out << "without " << broken.drop.front(); }

class BrokenRecipe : public testing::TestWithParam<Broken> {};

TEST_P(BrokenRecipe, IsRefusedWithWhatToDo) {
  const TempDir directory;
  RunOptions options{.overrides = {"calibration.samples=1"}};
  for (const std::string& pass : GetParam().drop) options.overrides.push_back("drop=" + pass);
  try {
    calibrate_into(directory / "calibration", qwen2_vl(), options);
    FAIL() << "calibrated without " << GetParam().drop.front();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage) << error.what();
    EXPECT_THAT(error.what(), testing::HasSubstr(GetParam().message));
  }
}

constexpr const char* kRotate =
    "pass rotate: norm 'norm1' of vision.0 is no bare RMSNorm; put fold-norms (and bake-means for LayerNorm "
    "towers) "
    "before rotate in the recipe";

INSTANTIATE_TEST_SUITE_P(
    Passes, BrokenRecipe,
    testing::Values(Broken{{"fold-norms", "bake-means"}, kRotate}, Broken{{"bake-means"}, kRotate},
                    Broken{{"fold-norms"},
                           "pass bake-means: norm 'norm1' of vision.0 has a scale or shift; put "
                           "fold-norms before bake-means in the recipe"},
                    Broken{{"calibrate-scales"}, "put calibrate-scales before round in the recipe"}),
    [](const auto& test) { return "Case" + std::to_string(test.index); });

}  // namespace
}  // namespace mquant::test
