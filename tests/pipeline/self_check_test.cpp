// What a run says of its own result.
#include "pipeline/self_check.h"

#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "pipeline/agreement.h"
#include "tests/pipeline/runs.h"
#include "tests/support/files.h"
#include "tests/support/temp_dir.h"

namespace mquant::test {
namespace {

using Json = nlohmann::json;

Json check_of(const std::filesystem::path& directory, const RunOptions& options) {
  return Json::parse(calibrate_into(directory, digits(), options))["self_check"];
}

RunOptions few(std::vector<std::string> overrides) {
  overrides.insert(overrides.end(), {"calibration.samples=32", "round.method=rtn"});
  return {.overrides = std::move(overrides)};
}

/// A float recipe changes nothing, so what the check finds is what its own rounding to the stored type costs.
TEST(SelfCheck, FindsNothingWhereNothingIsQuantized) {
  const TempDir directory;
  write_text(directory / "float.json", R"({"passes": [{"pass": "fold-norms"}, {"pass": "bake-means"},
    {"pass": "rotate"}, {"pass": "order-tokens"}], "calibration": {"samples": 32}})");
  const Json check = check_of(directory / "calibration", {.recipe = directory / "float.json"});
  EXPECT_LT(check["agreement"]["text"]["kl"].get<double>(), 1e-3);
  EXPECT_GT(check["agreement"]["text"]["top1"].get<double>(), 0.95);
  for (const auto& [block, errors] : check["errors"].items())
    for (const auto& [token_class, error] : errors.items()) EXPECT_LT(error.get<double>(), 1e-3) << block;
}

TEST(SelfCheck, TellsTheErrorOfEveryBlockAndWhereItGrows) {
  const TempDir directory;
  const Json check = check_of(directory / "calibration", few({"schemes.decoder=w8a8"}));
  EXPECT_EQ(check["samples"], 4);
  EXPECT_LT(check["agreement"]["text"]["kl"].get<double>(), 0.05);
  EXPECT_GE(check["errors"].size(), 10U);
  EXPECT_GT(check["perplexity"]["float"].get<double>(), 1);
  const Json worst = check["worst"];
  const double before = worst["before"], after = worst["after"];
  EXPECT_EQ(check["errors"][worst["block"].get<std::string>()][worst["class"].get<std::string>()], after);
  EXPECT_GT(after, before);
}

/// A baseline whose single scale for all tokens rounds text away is not taken for a good artifact.
TEST(SelfCheck, ShowsABrokenRecipe) {
  const TempDir directory;
  const Json check = check_of(directory / "calibration",
                              {.recipe = "rtn-w4a8-static", .overrides = {"calibration.samples=32"}});
  EXPECT_GT(check["agreement"]["text"]["kl"].get<double>(), kSelfCheckBound);
}

TEST(SelfCheck, TakesAtMostOneSampleInEight) {
  const TempDir directory;
  RunOptions options{.overrides = {"calibration.samples=17", "round.method=rtn"}};
  EXPECT_EQ(check_of(directory / "calibration", options)["samples"], 2);
}

TEST(SelfCheck, IsOffWithNoSamples) {
  const TempDir directory;
  EXPECT_TRUE(check_of(directory / "calibration", few({"calibration.self_check=0"})).is_null());
}

TEST(SelfCheck, StandsInTheManifest) {
  const TempDir directory;
  const Json check = check_of(directory / "calibration", few({}));
  export_into(directory / "artifact", directory / "calibration", "auto");
  EXPECT_EQ(Json::parse(read_text(directory / "artifact" / "mquant_manifest.json"))["self_check"], check);
}

TEST(SelfCheck, ChangesNoCodeAndNoScale) {
  const TempDir directory;
  check_of(directory / "with", few({}));
  check_of(directory / "without", few({"calibration.self_check=0"}));
  for (const auto& entry : std::filesystem::directory_iterator(directory / "with" / "blocks"))
    if (entry.path().extension() == ".safetensors") {
      const std::filesystem::path other = directory / "without" / "blocks" / entry.path().filename();
      EXPECT_TRUE(read_text(entry.path()) == read_text(other)) << entry.path();
    }
}

TEST(LogitSums, AreKlAgreementAndLikelihood) {
  Features f;
  f.input_ids = {0, 1, 0};
  f.token_class = {TokenClass::sink, TokenClass::text, TokenClass::text};
  f.answer_begin = 1;
  const at::Tensor reference = at::tensor({0.0F, 0.0F, 0.0F, std::log(3.0F), 0.0F, 0.0F}).view({3, 2});
  const at::Tensor logits = at::tensor({0.0F, 0.0F, 0.0F, 0.0F, 1.0F, 0.0F}).view({3, 2});
  LogitSums sums;
  const std::vector<std::int64_t> tokens = {0, 1, 2};
  add_logits(f, tokens, logits, reference, sums);
  const double of_row_1 = 0.25 * std::log(0.25 / 0.5) + 0.75 * std::log(0.75 / 0.5);
  const double p = std::exp(1.0) / (1 + std::exp(1.0)),
               of_row_2 = 0.5 * std::log(0.5 / p) + 0.5 * std::log(0.5 / (1 - p));
  EXPECT_EQ(sums.agreement[2].tokens, 1);
  EXPECT_NEAR(sums.agreement[2].kl, 0, 1e-12);
  EXPECT_EQ(sums.agreement[0].tokens, 2);
  EXPECT_NEAR(sums.agreement[0].kl, of_row_1 + of_row_2, 1e-6);
  EXPECT_EQ(sums.answer_tokens, 2);
  EXPECT_NEAR(sums.negative_log_likelihood, 2 * std::log(2.0), 1e-6);
  EXPECT_NEAR(sums.reference_negative_log_likelihood, std::log(2.0) - std::log(0.25), 1e-6);
}

}  // namespace
}  // namespace mquant::test
