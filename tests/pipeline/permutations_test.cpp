// Every change of a recipe's order of passes is refused before the work, with an order that works, or is right: a reordered
// recipe makes the artifact of its own order, and one without a pass keeps the model's function, as 8-bit weights show.
// Prints a table of all changes in Markdown.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "eval/loaded_model.h"
#include "mquant/error.h"
#include "mquant/recipe.h"
#include "support/strings.h"
#include "tests/pipeline/runs.h"
#include "tests/support/files.h"
#include "tests/support/temp_dir.h"

namespace mquant::test {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr double kNear = 1e-3;  // of logits, relative: float64 products in another order
constexpr double kKept =
    1e-3;  // nats of 8-bit weights with float inputs; 4-bit ones with 8-bit inputs have 0.02

/// A recipe and a small model of random weights.
struct Case {
  Json recipe;
  TestData data;
};

/// The recipes of configs/, and one with every pass, which also runs on a model with streams exempted from rotation.
std::map<std::string, Case> cases() {
  std::map<std::string, Case> cases;
  for (const RecipeInfo& info : all_recipes())
    cases[info.name] = {Json::parse(load_recipe(info.file).json), qwen2_vl()};
  Case every = cases.at("w4a8-kv8");
  every.recipe["passes"] = Json::array();
  for (const PassInfo& pass : all_passes()) every.recipe["passes"].push_back({{"pass", pass.name}});
  cases["every pass"] = every;
  every.data = {data_path("goldens/gemma3/model"), data_path("goldens/gemma3/cases.jsonl")};
  cases["every pass, Gemma 3"] = every;
  return cases;
}

std::string name_of(const Json& pass) { return pass.at("pass").get<std::string>(); }

struct Change {
  std::string what;
  Json passes;
  bool drops = false;
};

/// Each swap of two passes, each move of one to another place, each drop of one.
std::vector<Change> changes_of(const Json& passes) {
  std::vector<Change> changes;
  for (std::size_t i = 0; i < passes.size(); ++i)
    for (std::size_t j = i + 1; j < passes.size(); ++j) {
      Json swapped = passes;
      std::swap(swapped[i], swapped[j]);
      changes.push_back({"swap " + name_of(passes[i]) + ", " + name_of(passes[j]), swapped});
    }
  for (std::size_t from = 0; from < passes.size(); ++from) {
    Json rest = passes;
    rest.erase(from);
    changes.push_back({"drop " + name_of(passes[from]), rest, true});
    for (std::size_t to = 0; to < passes.size(); ++to) {
      if (to == from) continue;
      Json moved = rest;
      moved.insert(moved.begin() + static_cast<std::ptrdiff_t>(to), passes[from]);
      const bool at_end = to + 1 == passes.size();
      changes.push_back({"move " + name_of(passes[from]) +
                             (at_end ? std::string(" to the end") : " before " + name_of(moved[to + 1])),
                         moved});
    }
  }
  return changes;
}

/// nullopt if the recipe is read; else the message, after a check that the order that it names is read.
std::optional<std::string> refusal(Json recipe, const Json& passes) {
  const auto read = [&](const Json& order) {
    recipe["passes"] = order;
    parse_recipe(recipe.dump(), "recipe");
  };
  try {
    read(passes);
    return std::nullopt;
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage) << error.what();
    const std::string message = error.what(), mark = "an order that works: ";
    const std::size_t at = message.find(mark);
    EXPECT_NE(at, std::string::npos) << message;
    Json order = Json::array();
    for (std::string name : split(message.substr(at + mark.size()), ',')) {
      name.erase(0, name.find_first_not_of(' '));
      const auto own =
          std::ranges::find(passes, Json(name), [](const Json& pass) { return pass.at("pass"); });
      order.push_back(own != passes.end() ? *own : Json{{"pass", name}});
    }
    EXPECT_NO_THROW(read(order)) << message;
    return message;
  }
}

/// A calibration of a case's model by its recipe.
class Calibration {
 public:
  explicit Calibration(const Case& made) : data_(made.data) {
    write_text(directory_ / "recipe.json", made.recipe.dump());
    const Json report =
        Json::parse(calibrate_into(calibration(), data_,
                                   {.recipe = directory_ / "recipe.json",
                                    .overrides = {"calibration.samples=2", "round.method=rtn"},
                                    .threads = 2}));
    kl_ = report.at("self_check").at("agreement").at("text").at("kl");
  }
  double kl() const { return kl_; }
  std::map<std::string, std::string> blocks() const {
    std::map<std::string, std::string> bytes;
    for (const std::string& file : files_below(calibration() / "blocks"))
      if (file.ends_with(".safetensors")) bytes[file] = read_text(calibration() / "blocks" / file);
    return bytes;
  }
  at::Tensor logits() const {
    const LoadedModel model = LoadedModel::open(calibration());
    std::vector<KvCache> none;
    return model.logits(model.features(read_samples(data_.samples, 1), WithAnswer::no).front(), none, 0,
                        LogitRows::all);
  }

 private:
  fs::path calibration() const { return directory_ / "calibration"; }
  TestData data_;
  TempDir directory_;
  double kl_ = 0;
};

/// What is quantized at all: 8-bit weights, float inputs.
Case with_wide_schemes(Case changed) {
  for (auto& [role, scheme] : changed.recipe["schemes"].items())
    if (scheme != "float" && scheme != "tied") scheme = "w8a16";
  return changed;
}

std::string verdict_on(const Case& changed, const Change& change, const Calibration& own) {
  if (change.drops) {
    const double kl = Calibration(with_wide_schemes(changed)).kl();
    EXPECT_LT(kl, kKept);
    return cat("right: KL ", kl, " in w8a16");
  }
  const Calibration run(changed);
  if (run.blocks() == own.blocks()) return "right: the same bytes";
  const at::Tensor wanted = own.logits();
  const double difference = (run.logits() - wanted).norm().item<double>() / wanted.norm().item<double>();
  EXPECT_LT(difference, kNear);
  return cat("right: logits differ by ", difference);
}

class Permutations : public testing::TestWithParam<std::string> {};

TEST_P(Permutations, AreRefusedOrRight) {
  Case tried = cases().at(GetParam());
  const Json passes = tried.recipe["passes"];
  const Calibration own(tried);
  std::map<Json, std::string> verdicts = {{passes, "right: the same bytes"}};
  std::map<std::string, int> counts;
  std::string table;
  for (const Change& change : changes_of(passes)) {
    SCOPED_TRACE(change.what);
    const auto [known, first] = verdicts.try_emplace(change.passes);
    std::string& verdict = known->second;
    if (first) {
      const std::optional<std::string> message = refusal(tried.recipe, change.passes);
      tried.recipe["passes"] = change.passes;
      verdict = message ? "exit 2: " + message->substr(0, message->find("; an order"))
                        : verdict_on(tried, change, own);
    }
    table += cat("| ", GetParam(), " | ", change.what, " | ", verdict, " |\n");
    ++counts[verdict.substr(0, verdict.find(':'))];
  }
  EXPECT_GT(counts["exit 2"], 0);
  EXPECT_EQ(counts["right"] > 0, passes.size() > 2) << "scales and codes alone have one order";
  std::printf("\n| recipe | change | verdict |\n| --- | --- | --- |\n%s\n", table.c_str());
}

std::vector<std::string> names() {
  std::vector<std::string> names;
  for (const auto& [name, tried] : cases()) names.push_back(name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(Recipes, Permutations, testing::ValuesIn(names()), [](const auto& test) {
  std::string name = test.param;
  std::ranges::replace_if(name, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; }, '_');
  return name;
});

}  // namespace
}  // namespace mquant::test
