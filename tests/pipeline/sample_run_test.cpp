// One pass of a sample for its answer, perplexity and agreement.
#include "eval/sample_run.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "eval/greedy.h"
#include "pipeline/agreement.h"
#include "tests/pipeline/kv8_run.h"
#include "tests/pipeline/runs.h"
#include "tests/support/files.h"

namespace mquant::test {
namespace {

using Tokens = std::vector<std::int64_t>;

class SampleRuns : public Kv8Run {
 protected:
  static std::vector<Features> prompts(const LoadedModel& model) {
    return model.features(read_samples(qwen2_vl().samples), WithAnswer::no);
  }
};

/// The prompt with these tokens as its answer.
Features answered(Features prompt, const Tokens& answer) {
  prompt.answer_begin = std::ssize(prompt.input_ids);
  for (const std::int64_t token : answer) {
    const std::int64_t position = prompt.next_position++;
    prompt.input_ids.push_back(token);
    prompt.token_class.push_back(TokenClass::text);
    prompt.positions.push_back({position, position, position});
    prompt.picture.push_back(-1);
  }
  return prompt;
}

/// Answers that are right, too long, and wrong from the first, a middle and the last token on.
std::vector<Tokens> answers_near(const Tokens& decoded, std::int64_t stop) {
  std::vector<Tokens> answers = {{}, decoded, {stop}};
  answers.push_back(decoded);
  answers.back().push_back(stop);
  answers.push_back(decoded);
  answers.back().insert(answers.back().end(), {1, 2, stop});
  for (const std::size_t wrong : {std::size_t{0}, decoded.size() / 2, decoded.size() - 1}) {
    answers.push_back(decoded);
    answers.back()[wrong] = decoded[wrong] == 3 ? 4 : 3;
  }
  answers.emplace_back(decoded.begin(), decoded.begin() + 2);
  return answers;
}

void expect_answers_of_greedy(const LoadedModel& model, const Features& prompt) {
  for (const std::int64_t limit : {0, 1, 6}) {
    const Tokens expected = greedy(model, prompt, {.max_new_tokens = limit});
    const Tokens draft = greedy(model, prompt, {.max_new_tokens = 6, .stop = false});
    for (const Tokens& answer : answers_near(draft, model.processor().stop_ids().front()))
      EXPECT_EQ(run_sample(model, nullptr, answered(prompt, answer), limit).answer, expected)
          << "limit " << limit << ", answer of " << answer.size();
    EXPECT_EQ(run_sample(model, nullptr, prompt, limit).answer, expected) << "without an answer";
  }
}

TEST_F(SampleRuns, AnswerAsGreedyDecodingWhateverTheExpectedAnswer) {
  LoadedModel fast = LoadedModel::open(artifact());
  for (const KvCacheType type : {KvCacheType::float32, KvCacheType::int8}) {
    fast.use_kv_cache(type);
    for (const Features& prompt : prompts(fast)) expect_answers_of_greedy(fast, prompt);
  }
  const LoadedModel plain = LoadedModel::open(artifact(), Executor::plain);
  expect_answers_of_greedy(plain, prompts(plain).front());
}

LogitSums sums_of_whole_pass(const LoadedModel& model, const LoadedModel& reference,
                             const Features& features) {
  LogitSums sums;
  std::vector<KvCache> none;
  Tokens tokens(features.input_ids.size());
  std::iota(tokens.begin(), tokens.end(), 0);
  add_logits(features, tokens, model.logits(features, none, 0, LogitRows::all),
             reference.logits(features, none, 0, LogitRows::all), sums);
  return sums;
}

void expect_close(const LogitSums& a, const LogitSums& b) {
  EXPECT_EQ(a.answer_tokens, b.answer_tokens);
  EXPECT_NEAR(a.negative_log_likelihood, b.negative_log_likelihood, 1e-6 * b.negative_log_likelihood);
  for (std::size_t c = 0; c < kTokenClasses; ++c) {
    EXPECT_EQ(a.agreement[c].tokens, b.agreement[c].tokens);
    EXPECT_EQ(a.agreement[c].top1, b.agreement[c].top1);
    EXPECT_NEAR(a.agreement[c].kl, b.agreement[c].kl, 1e-6 * b.agreement[c].kl);
  }
}

TEST_F(SampleRuns, SumsAreThoseOfAllLogitsAtOnce) {
  const LoadedModel reference = LoadedModel::open(qwen2_vl().model);
  for (const Executor executor : {Executor::fast, Executor::plain}) {
    const LoadedModel model = LoadedModel::open(artifact(), executor);
    for (const Features& prompt : prompts(model)) {
      const Features features = answered(prompt, {5, 3, 9, 40, 7});
      const SampleRun run = run_sample(model, &reference, features, 3);
      expect_close(run.sums, sums_of_whole_pass(model, reference, features));
      const SampleRun alone = run_sample(model, nullptr, features, 3);
      EXPECT_EQ(alone.sums.negative_log_likelihood, run.sums.negative_log_likelihood);
      EXPECT_EQ(alone.answer, run.answer);
    }
  }
}

/// Qwen-VL's rotary base grows beyond the trained length: the prompt's keys depend on the answer.
TEST(SampleRunsOfAGrowingBase, AnswerAsGreedyDecoding) {
  const std::filesystem::path golden = data_path("goldens/qwen_vl");
  const LoadedModel model = LoadedModel::open(golden / "model");
  for (const Features& prompt : model.features(read_samples(golden / "cases.jsonl"), WithAnswer::no)) {
    Tokens answer = greedy(model, prompt, {.max_new_tokens = 4, .stop = false});
    answer.resize(600, 5);
    const Features features = answered(prompt, answer);
    const SampleRun run = run_sample(model, &model, features, 8);
    EXPECT_EQ(run.answer, greedy(model, prompt, {.max_new_tokens = 8}));
    expect_close(run.sums, sums_of_whole_pass(model, model, features));
  }
}

}  // namespace
}  // namespace mquant::test
