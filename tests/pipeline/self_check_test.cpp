// What a run says of its own result.
#include "pipeline/self_check.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "nn/tensors.h"
#include "pipeline/agreement.h"
#include "support/rng.h"
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

/// The sums by libtorch's log-softmax in float64, of all rows at once.
LogitSums sums_of_log_softmax(const Features& f, const at::Tensor& logits, const at::Tensor& reference) {
  LogitSums sums;
  const at::Tensor log_q = at::log_softmax(logits.to(at::kDouble), -1),
                   log_p = at::log_softmax(reference.to(at::kDouble), -1);
  const at::Tensor kl = (log_p.exp() * (log_p - log_q)).sum(-1), same = log_p.argmax(-1).eq(log_q.argmax(-1));
  for (std::int64_t t = 0; t < logits.size(0); ++t) {
    AgreementRow& row = sums.agreement[static_cast<std::size_t>(f.token_class[static_cast<std::size_t>(t)])];
    ++row.tokens;
    row.kl += kl[t].item<double>();
    row.top1 += same[t].item<bool>() ? 1 : 0;
    if (t + 1 < f.answer_begin || t + 1 == logits.size(0)) continue;
    const std::int64_t next = f.input_ids[static_cast<std::size_t>(t + 1)];
    sums.negative_log_likelihood -= log_q[t][next].item<double>();
    sums.reference_negative_log_likelihood -= log_p[t][next].item<double>();
    ++sums.answer_tokens;
  }
  return sums;
}

TEST(LogitSums, AreThoseOfLogSoftmaxHoweverTheRowsCome) {
  constexpr std::int64_t kTokens = 150, kVocabulary = 1003;
  Rng rng(5);
  at::Tensor logits = at::empty({kTokens, kVocabulary}, at::kFloat), reference = at::empty_like(logits);
  for (std::int64_t i = 0; i < logits.numel(); ++i) {
    reference.data_ptr<float>()[i] = static_cast<float>(rng.uniform() * 12);
    logits.data_ptr<float>()[i] = reference.data_ptr<float>()[i] + static_cast<float>(rng.uniform());
  }
  Features f;
  f.answer_begin = 90;
  for (std::int64_t t = 0; t < kTokens; ++t) {
    f.input_ids.push_back(t * 7919 % kVocabulary);
    f.token_class.push_back(t % 3 == 0 ? TokenClass::visual : TokenClass::text);
  }
  const LogitSums expected = sums_of_log_softmax(f, logits, reference);
  for (const std::int64_t rows : {1, 64, 150}) {
    LogitSums sums;
    std::vector<std::int64_t> most_likely;
    for (std::int64_t begin = 0; begin < kTokens; begin += rows) {
      std::vector<std::int64_t> tokens(static_cast<std::size_t>(std::min(rows, kTokens - begin)));
      std::iota(tokens.begin(), tokens.end(), begin);
      const auto part = [&](const at::Tensor& all) { return all.narrow(0, begin, std::ssize(tokens)); };
      const auto found = add_logits(f, tokens, part(logits), part(reference), sums);
      most_likely.insert(most_likely.end(), found.begin(), found.end());
    }
    EXPECT_TRUE(index_tensor(most_likely).equal(logits.argmax(-1)));
    EXPECT_EQ(sums.answer_tokens, expected.answer_tokens);
    EXPECT_NEAR(sums.negative_log_likelihood / expected.negative_log_likelihood, 1, 1e-12);
    EXPECT_NEAR(sums.reference_negative_log_likelihood / expected.reference_negative_log_likelihood, 1,
                1e-12);
    for (std::size_t c = 0; c < kTokenClasses; ++c) {
      EXPECT_EQ(sums.agreement[c].tokens, expected.agreement[c].tokens);
      EXPECT_EQ(sums.agreement[c].top1, expected.agreement[c].top1);
      EXPECT_NEAR(sums.agreement[c].kl, expected.agreement[c].kl, 1e-12 * expected.agreement[c].kl);
    }
  }
}

}  // namespace
}  // namespace mquant::test
