// The recipes that we ship, and the schema that editors check recipes with, agree with the program.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validator.hpp>

#include "mquant/error.h"
#include "mquant/pass.h"
#include "mquant/recipe.h"
#include "tests/support/files.h"

namespace mquant {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using Adapter = valijson::adapters::NlohmannJsonAdapter;

bool schema_accepts(const Json& recipe) {
  static const Json document = Json::parse(recipe_schema());
  static const valijson::Schema& schema = []() -> valijson::Schema& {
    auto& parsed = *new valijson::Schema;
    valijson::SchemaParser(valijson::SchemaParser::kDraft7).populateSchema(Adapter(document), parsed);
    return parsed;
  }();
  valijson::Validator validator(valijson::Validator::kStrongTypes);
  return validator.validate(schema, Adapter(recipe), nullptr);
}

bool parser_accepts(const Json& recipe) {
  try {
    parse_recipe(recipe.dump(), "recipe");
    return true;
  } catch (const Error&) {
    return false;
  }
}

std::vector<fs::path> shipped() {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(MQUANT_CONFIGS)) {
    if (entry.path().extension() == ".json" && entry.path().stem().extension() != ".schema") {
      files.push_back(entry.path());
    }
  }
  return files;
}

TEST(Configs, EachIsARecipeWhosePassesCanBeMade) {
  EXPECT_GE(shipped().size(), 6u);
  for (const fs::path& file : shipped()) {
    SCOPED_TRACE(file);
    const Recipe recipe = load_recipe(file);
    EXPECT_FALSE(recipe.summary.empty());
    for (const PassConfig& pass : recipe.passes) EXPECT_NE(find_pass(pass.name).make(pass.options), nullptr);
  }
}

TEST(Configs, EachIsFoundByItsName) {
  std::vector<std::string> names;
  for (const RecipeInfo& info : all_recipes()) names.push_back(info.name);
  for (const fs::path& file : shipped()) EXPECT_THAT(names, testing::Contains(file.stem().string()));
}

TEST(Configs, EachSatisfiesTheSchemaAndSoDoesItsCanonicalText) {
  for (const fs::path& file : shipped()) {
    SCOPED_TRACE(file);
    EXPECT_TRUE(schema_accepts(Json::parse(test::read_text(file))));
    EXPECT_TRUE(schema_accepts(Json::parse(load_recipe(file).json)));
  }
}

TEST(Configs, TheSchemaFileIsCurrent) {
  EXPECT_EQ(test::read_text(fs::path(MQUANT_CONFIGS) / "recipe.schema.json"), recipe_schema())
      << "scripts/gen_docs.sh writes it";
}

TEST(Configs, SchemaAndParserAgreeOnWhatIsNoRecipe) {
  const Json good = Json::parse(load_recipe("w4a8").json);
  ASSERT_TRUE(schema_accepts(good) && parser_accepts(good));
  const std::vector<std::pair<std::string, Json>> changes = {
      {"/unknown", 1},
      {"/summary", 1},
      {"/schemes", Json::array()},
      {"/schemes/decoder", "w3a8"},
      {"/schemes/decodr", "w4a8"},
      {"/passes", "rotate"},
      {"/passes/0", "fold-norms"},
      {"/passes/0/pass", "fold-norm"},
      {"/passes/0/option", true},
      {"/passes/2/vision", "true"},
      {"/passes/2/vison", true},
      {"/passes/3/mode", "fourier"},
      {"/passes/5/weight_ratio", 0.5},
      {"/passes/5/weight_ratio", -1},
      {"/calibration/samples", 1.5},
      {"/calibration/samples", "all"},
      {"/calibration/propagate", "both"},
      {"/calibration/sinks", true},
  };
  for (const auto& [where, value] : changes) {
    SCOPED_TRACE(where + " = " + value.dump());
    Json changed = good;
    changed[Json::json_pointer(where)] = value;
    EXPECT_FALSE(parser_accepts(changed));
    EXPECT_FALSE(schema_accepts(changed));
  }
}

TEST(Passes, DefaultsAreAmongTheChoicesAndHaveATypeThatRecipesKnow) {
  ASSERT_FALSE(all_passes().empty());
  for (const PassInfo& pass : all_passes()) {
    EXPECT_FALSE(pass.summary.empty()) << pass.name;
    for (const PassOption& option : pass.options) {
      SCOPED_TRACE(pass.name + "." + option.name);
      EXPECT_FALSE(option.summary.empty());
      const Json fallback = Json::parse(option.fallback);
      EXPECT_TRUE(fallback.is_boolean() || fallback.is_number() || fallback.is_string());
      if (option.choices.empty()) continue;
      EXPECT_THAT(option.choices, testing::Contains(fallback.get<std::string>()));
    }
  }
}

}  // namespace
}  // namespace mquant
