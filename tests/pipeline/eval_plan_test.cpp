// The dry run of an evaluation, and evaluations that continue.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>

#include "eval/loaded_model.h"
#include "mquant/artifact.h"
#include "mquant/compile.h"
#include "mquant/error.h"
#include "pipeline/identity.h"
#include "tests/pipeline/kv8_run.h"
#include "tests/pipeline/runs.h"
#include "tests/support/files.h"
#include "tests/support/temp_dir.h"

namespace mquant::test {
namespace fs = std::filesystem;
namespace {

class EvalPlans : public Kv8Run {
 protected:
  static fs::path journal(const std::string& name) { return *directory_ / name; }

  static EvalOptions options(const fs::path& model) {
    EvalOptions options;
    options.model = model;
    options.data = qwen2_vl().samples;
    options.max_new_tokens = 2;
    options.run.threads = 1;
    return options;
  }
};

std::int64_t held_bytes(const LoadedModel& model) {
  std::int64_t bytes = 0;
  for (const LoadedModel::Weights& block : model.weights()) bytes += block.bytes;
  return bytes;
}

TEST_F(EvalPlans, CountsWhatTheEvaluationSees) {
  const EvalPlan plan = plan_evaluation(options(qwen2_vl().model));
  const LoadedModel model = LoadedModel::open(qwen2_vl().model);
  const std::vector<Sample> samples = read_samples(qwen2_vl().samples);
  const std::vector<Features> features = model.features(samples, WithAnswer::yes);
  std::int64_t longest = 0, answers = 0;
  for (const Features& f : features) longest = std::max(longest, std::ssize(f.input_ids));
  for (const Sample& sample : samples) answers += sample.answer ? 1 : 0;
  EXPECT_EQ(plan.samples, std::ssize(samples));
  EXPECT_EQ(plan.answers, answers);
  EXPECT_EQ(plan.longest, longest);
  EXPECT_EQ(plan.digest, data_digest(samples));
  std::map<std::string, std::int64_t> tokens = count_tokens(features);
  tokens.erase("visual_rows");
  EXPECT_EQ(plan.tokens, tokens);
  EXPECT_GT(plan.peak_bytes, plan.weight_bytes);
}

TEST_F(EvalPlans, TellsTheDigestOfACalibration) {
  const CalibrationStore store = CalibrationStore::open(calibration());
  EvalOptions same = options(artifact());
  same.limit = store.identity().samples;
  EXPECT_EQ(plan_evaluation(same).digest, store.identity().data_digest);
}

/// Split columns are not counted; here they are a hundredth or less.
TEST_F(EvalPlans, TellsTheMemoryOfWeights) {
  for (const fs::path& path : {qwen2_vl().model, calibration(), artifact()}) {
    const auto held = static_cast<double>(held_bytes(LoadedModel::open(path)));
    const auto told = static_cast<double>(plan_evaluation(options(path)).weight_bytes);
    EXPECT_NEAR(told / held, 1, 0.05) << path;
  }
}

TEST_F(EvalPlans, RefusesWhatTheEvaluationRefuses) {
  TempDir directory;
  write_text(directory / "text.jsonl", "{\"prompt\": \"Hi\"}\n");
  write_text(directory / "picture.jsonl", "{\"image\": \"absent.png\", \"prompt\": \"Hi\"}\n");
  struct Case {
    std::function<void(EvalOptions&)> change;
    ErrorKind kind;
    const char* text;
  };
  const std::vector<Case> cases = {
      {[&](EvalOptions& o) { o.data = directory / "picture.jsonl"; }, ErrorKind::input, "absent.png"},
      {[&](EvalOptions& o) {
         o.data = directory / "text.jsonl";
         o.bounds.min_exact = 50;
       },
       ErrorKind::input, "--min-exact: expected samples with answers, found none"},
      {[&](EvalOptions& o) {
         o.data = directory / "text.jsonl";
         o.reference = qwen2_vl().model;
         o.bounds.max_kl_of[TokenClass::visual] = 0.1;
       },
       ErrorKind::input, "the samples have no visual tokens"},
      {[](EvalOptions& o) { o.bounds.max_kl = 1; }, ErrorKind::usage, "--max-kl needs --reference"},
      {[](EvalOptions& o) { o.reference = data_path("goldens/llava/model"); }, ErrorKind::input,
       "is of the family llava, and"},
      {[](EvalOptions& o) { o.kv_cache = KvCacheType::int8; }, ErrorKind::usage, "has no scales of an int8"}};
  for (const Case& refused : cases) {
    EvalOptions changed = options(qwen2_vl().model);
    refused.change(changed);
    for (const bool dry : {true, false}) {
      try {
        if (dry)
          plan_evaluation(changed);
        else
          evaluate(changed);
        ADD_FAILURE() << refused.text;
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), refused.kind) << error.what();
        EXPECT_THAT(error.what(), testing::HasSubstr(refused.text));
      }
    }
  }
  for (const fs::path& path : {calibration(), artifact()}) {
    EvalOptions int8 = options(path);
    int8.kv_cache = KvCacheType::int8;
    EXPECT_NO_THROW(plan_evaluation(int8)) << path;
  }
}

void expect_same(const EvalReport& a, const EvalReport& b) {
  const auto bits = [](double x) { return std::bit_cast<std::uint64_t>(x); };
  EXPECT_EQ(a.all.exact, b.all.exact);
  EXPECT_EQ(bits(a.perplexity), bits(b.perplexity));
  ASSERT_EQ(a.agreement.size(), b.agreement.size());
  for (const auto& [name, row] : a.agreement) {
    EXPECT_EQ(row.tokens, b.agreement.at(name).tokens);
    EXPECT_EQ(bits(row.kl), bits(b.agreement.at(name).kl)) << name;
    EXPECT_EQ(bits(row.top1), bits(b.agreement.at(name).top1)) << name;
  }
  ASSERT_EQ(a.answers.size(), b.answers.size());
  for (std::size_t i = 0; i < a.answers.size(); ++i) EXPECT_EQ(a.answers[i].found, b.answers[i].found);
}

TEST_F(EvalPlans, AnEvaluationContinuesToTheSameReport) {
  EvalOptions whole = options(artifact());
  whole.reference = qwen2_vl().model;
  const EvalReport expected = evaluate(whole);
  for (const int threads : {1, 3}) {
    EvalOptions kept = whole;
    kept.run.threads = threads;
    kept.journal = journal("continued-" + std::to_string(threads));
    kept.limit = 1;
    evaluate(kept);
    kept.limit = static_cast<std::int64_t>(expected.answers.size()) - 1;
    evaluate(kept);
    kept.limit = 0;
    expect_same(evaluate(kept), expected);
    const std::string text = read_text(kept.journal);
    EXPECT_EQ(std::ranges::count(text, '\n'), std::ssize(expected.answers) + 1);
    kept.executor = Executor::plain;  // gives the same bits
    expect_same(evaluate(kept), expected);
    EXPECT_EQ(read_text(kept.journal), text) << "samples were evaluated again";
  }
}

TEST_F(EvalPlans, AJournalBelongsToItsModels) {
  EvalOptions first = options(artifact());
  first.journal = journal("of-artifact");
  first.limit = 1;
  evaluate(first);
  const auto refusal = [](const EvalOptions& changed) -> std::string {
    try {
      evaluate(changed);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::usage);
      return error.what();
    }
    return "done";
  };
  EvalOptions other = first;
  other.model = calibration();
  EXPECT_THAT(refusal(other), testing::HasSubstr("the SHA-256 of the model was"));
  other = first;
  other.reference = qwen2_vl().model;
  EXPECT_THAT(refusal(other), testing::HasSubstr("the SHA-256 of --reference was none and is"));
  other = first;
  other.data = digits().samples;
  EXPECT_THAT(refusal(other), testing::HasSubstr("is of other samples: line 2"));
}

TEST_F(EvalPlans, BoundsAreInTheReport) {
  EvalOptions bounded = options(artifact());
  bounded.limit = 2;
  bounded.reference = qwen2_vl().model;
  bounded.bounds = {.max_kl = 1e9, .max_kl_of = {{TokenClass::text, 1e-9}}};
  const EvalReport report = evaluate(bounded);
  ASSERT_GE(report.bounds.size(), 1U);
  EXPECT_EQ(report.bounds[0].bound, "max_kl.text");
  EXPECT_FALSE(report.bounds[0].met);
  EXPECT_EQ(report.bounds[0].found, report.agreement.at("text").kl);
  EXPECT_THROW(expect_bounds(report), Error);
}

}  // namespace
}  // namespace mquant::test
