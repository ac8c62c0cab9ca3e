#include "eval/sample_run.h"

#include <algorithm>
#include <numeric>

#include "eval/greedy.h"
#include "pipeline/agreement.h"

namespace mquant {
namespace {

/// Are the prompt's keys others when the answer follows?
bool depends_on_answer(const ModelSpec& model, const Features& features) {
  return features.answer_begin >= 0 && std::ranges::any_of(model.blocks, [&](const BlockSpec& block) {
           const RopeSpec& rope = block.attention.rope;
           return block.has_kv_cache() && rope.stretch != Stretch::none &&
                  std::ssize(features.input_ids) > rope.trained_length;
         });
}

/// The prompt with its pictures.
Features whole_prompt_of(const Features& features) {
  Features prompt = prompt_of(features);
  prompt.pixels = features.pixels;
  prompt.grids = features.grids;
  prompt.patches = features.patches;
  prompt.pixel_columns = features.pixel_columns;
  return prompt;
}

/// What is wanted of the tokens: sums over them, and the most likely ones after the prompt.
class Rows {
 public:
  Rows(const LoadedModel& model, const LoadedModel* reference, const Features& features)
      : model_(model), reference_(reference), features_(features) {}

  /// @returns the most likely token after each, from the last one of the prompt on
  std::vector<std::int64_t> add(const at::Tensor& x, const at::Tensor& of_reference, LogitSums& sums) const {
    const std::int64_t tokens = std::ssize(features_.input_ids),
                       prompt = features_.answer_begin < 0 ? tokens : features_.answer_begin;
    std::vector<std::int64_t> most_likely;
    // All tokens are compared; alone, the model is asked for what follows the prompt.
    for (std::int64_t begin = reference_ != nullptr ? 0 : prompt - 1; begin < tokens; begin += kLogitRows) {
      const std::int64_t count = std::min(kLogitRows, tokens - begin);
      std::vector<std::int64_t> part(static_cast<std::size_t>(count));
      std::iota(part.begin(), part.end(), begin);
      const at::Tensor wanted =
          reference_ != nullptr ? reference_->head(features_, of_reference, begin, count) : at::Tensor();
      const std::vector<std::int64_t> found =
          add_logits(features_, part, model_.head(features_, x, begin, count), wanted, sums);
      const std::int64_t before = std::clamp<std::int64_t>(prompt - 1 - begin, 0, count);
      most_likely.insert(most_likely.end(), found.begin() + before, found.end());
    }
    return most_likely;
  }

 private:
  const LoadedModel& model_;
  const LoadedModel* reference_;
  const Features& features_;
};

}  // namespace

SampleRun run_sample(const LoadedModel& model, const LoadedModel* reference, const Features& features,
                     std::int64_t max_new_tokens) {
  SampleRun run;
  const bool apart = depends_on_answer(model.spec(), features);
  const std::int64_t tokens = std::ssize(features.input_ids),
                     prompt = features.answer_begin < 0 ? tokens : features.answer_begin;
  std::vector<KvCache> caches, none;
  if (!apart) caches = model.make_caches(std::max(tokens, prompt + max_new_tokens));
  const at::Tensor x = model.hidden(features, caches);
  const at::Tensor of_reference = reference != nullptr ? reference->hidden(features, none) : at::Tensor();
  const std::vector<std::int64_t> most_likely =
      Rows(model, reference, features).add(x, of_reference, run.sums);
  const GreedyOptions options{.max_new_tokens = max_new_tokens};
  run.answer = apart ? greedy(model, whole_prompt_of(features), options)
                     : greedy_along(model, features, caches, most_likely, options);
  return run;
}

}  // namespace mquant
