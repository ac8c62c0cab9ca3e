#include "tests/support/executors.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/fake_quant.h"

namespace mquant::test {
namespace {

constexpr double kHeadBound = 1e-5;  // of the largest logit: another order of the head's sums
constexpr int kDecodeSteps = 3;

struct Snapshot {
  std::string block, name;
  at::Tensor value;
};

std::vector<Snapshot> snapshots(const LoadedModel& model, const Features& features, at::Tensor& logits) {
  std::vector<Snapshot> all;
  std::vector<KvCache> none;
  logits =
      model.logits(features, none, 0, LogitRows::all, [&](const BlockSpec& spec, const SampleState& state) {
        for (const auto& [name, value] : state.registers)
          if (name != "logits") all.push_back({spec.name, name, value.clone()});
      });
  return all;
}

/// Logits of prefill and decode steps, each sequence's rows under the others'.
std::vector<std::vector<at::Tensor>> decode_together(const LoadedModel& model,
                                                     const std::vector<Features>& prompts) {
  std::vector<std::vector<KvCache>> caches;
  std::vector<Sequence> sequences;
  for (const Features& prompt : prompts)
    caches.push_back(model.make_caches(static_cast<std::int64_t>(prompt.input_ids.size()) + kDecodeSteps));
  for (std::size_t i = 0; i < prompts.size(); ++i) sequences.push_back({&prompts[i], &caches[i], 0});
  std::vector<std::vector<at::Tensor>> passes = {model.logits(sequences, LogitRows::last)};
  std::vector<Features> steps(prompts.size());
  for (int step = 0; step < kDecodeSteps; ++step) {
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      steps[i] = decode_step(prompts[i], passes.back()[i].argmax().item<std::int64_t>(), step);
      sequences[i] = {&steps[i], &caches[i], static_cast<std::int64_t>(prompts[i].input_ids.size()) + step};
    }
    passes.push_back(model.logits(sequences, LogitRows::last));
  }
  return passes;
}

/// Tokens [begin, end) of a prompt; pictures only with the first part.
Features part_of(const Features& whole, std::int64_t begin, std::int64_t end) {
  Features part = whole;
  const auto cut = [&](auto& values) {
    values.erase(values.begin() + end, values.end());
    values.erase(values.begin(), values.begin() + begin);
  };
  cut(part.input_ids);
  cut(part.token_class);
  cut(part.positions);
  cut(part.picture);
  part.prompt_length = static_cast<std::int64_t>(whole.input_ids.size());
  if (begin == 0) return part;
  part.pixels.clear();
  part.patches.clear();
  part.grids.clear();
  return part;
}

}  // namespace

void expect_same_numbers(const LoadedModel& plain, const LoadedModel& fast, const Features& features) {
  at::Tensor expected_logits, logits;
  const std::vector<Snapshot> expected = snapshots(plain, features, expected_logits),
                              found = snapshots(fast, features, logits);
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    ASSERT_EQ(found[i].block + "/" + found[i].name, expected[i].block + "/" + expected[i].name);
    EXPECT_TRUE(found[i].value.equal(expected[i].value)) << found[i].block << "/" << found[i].name;
  }
  EXPECT_LT(relative_to_largest(logits, expected_logits), kHeadBound);
}

void expect_scaling_keeps_bits(LoadedModel& fast, const Features& features) {
  std::vector<KvCache> none;
  const bool order = fast.order_tokens;
  at::Tensor first;
  for (const bool ordered : {true, false})
    for (const Scaling scaling : {Scaling::segments, Scaling::gathered}) {
      fast.order_tokens = ordered;
      fast.mode.scaling = scaling;
      const at::Tensor logits = fast.logits(features, none, 0, LogitRows::all);
      if (!first.defined()) first = logits;
      EXPECT_TRUE(logits.equal(first)) << scaling_name(scaling) << (ordered ? ", reordered" : "");
    }
  fast.order_tokens = order;
  fast.mode.scaling = Scaling::segments;
}

void expect_batch_is_each_alone(const LoadedModel& fast, const std::vector<Features>& sequences) {
  const auto together = decode_together(fast, sequences);
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    const auto alone = decode_together(fast, {sequences[i]});
    for (std::size_t pass = 0; pass < alone.size(); ++pass)
      EXPECT_TRUE(together[pass][i].equal(alone[pass][0])) << "sequence " << i << ", pass " << pass;
  }
}

void expect_turns_are_one(const LoadedModel& fast, const Features& features) {
  const auto tokens = static_cast<std::int64_t>(features.input_ids.size());
  // Behind the last picture: a turn has its pictures whole.
  std::int64_t split = tokens / 2;
  for (std::int64_t t = 0; t < tokens; ++t)
    if (features.picture[static_cast<std::size_t>(t)] >= 0) split = std::max(split, t + 1);
  ASSERT_LT(split, tokens);
  std::vector<KvCache> none, caches = fast.make_caches(tokens);
  const at::Tensor whole = fast.logits(features, none, 0, LogitRows::last);
  fast.logits(part_of(features, 0, split), caches, 0, LogitRows::last);
  const at::Tensor turns = fast.logits(part_of(features, split, tokens), caches, split, LogitRows::last);
  EXPECT_TRUE(turns.equal(whole));
}

}  // namespace mquant::test
