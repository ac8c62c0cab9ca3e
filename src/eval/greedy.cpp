// Greedy decoding, with a key-value cache or by whole forward passes.
#include "eval/greedy.h"

#include <algorithm>

namespace mquant {
namespace {

std::int64_t largest(const at::Tensor& logits) {
  return logits.select(0, logits.size(0) - 1).argmax().item<std::int64_t>();
}

/// `features` and the tokens decoded so far, as one prompt.
Features extended(Features features, const std::vector<std::int64_t>& tokens) {
  const Features before = features;
  features.prompt_length = static_cast<std::int64_t>(before.input_ids.size());
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const Features step = decode_step(before, tokens[i], static_cast<std::int64_t>(i));
    features.input_ids.push_back(tokens[i]);
    features.token_class.push_back(TokenClass::text);
    features.positions.push_back(step.positions[0]);
    features.picture.push_back(-1);
    features.next_position = step.next_position;
  }
  return features;
}

/// The tokens so far, and whether more are wanted.
class Answer {
 public:
  Answer(const LoadedModel& model, const GreedyOptions& options,
         const std::function<void(std::int64_t)>& on_token)
      : stops_(model.processor().stop_ids()), options_(options), on_token_(on_token) {}

  /// Is there a token to follow this one?
  bool take(std::int64_t token) {
    if (is_full() || (options_.stop && std::ranges::find(stops_, token) != stops_.end())) return false;
    tokens_.push_back(token);
    if (on_token_) on_token_(token);
    return !is_full();
  }
  const std::vector<std::int64_t>& tokens() const { return tokens_; }

 private:
  bool is_full() const { return std::ssize(tokens_) >= options_.max_new_tokens; }

  const std::vector<std::int64_t>& stops_;
  const GreedyOptions& options_;
  const std::function<void(std::int64_t)>& on_token_;
  std::vector<std::int64_t> tokens_;
};

/// Most likely after the prompt and `tokens`, of which the caches hold all but the last.
std::int64_t decoded(const LoadedModel& model, const Features& prompt, std::vector<KvCache>& caches,
                     const std::vector<std::int64_t>& tokens) {
  const auto step = std::ssize(tokens) - 1;
  return largest(model.logits(decode_step(prompt, tokens.back(), step), caches,
                              std::ssize(prompt.input_ids) + step, LogitRows::last));
}

}  // namespace

std::vector<std::int64_t> greedy(const LoadedModel& model, const Features& features,
                                 const GreedyOptions& options,
                                 const std::function<void(std::int64_t)>& on_token) {
  std::vector<KvCache> caches;
  if (options.cache) caches = model.make_caches(std::ssize(features.input_ids) + options.max_new_tokens);
  Answer answer(model, options, on_token);
  std::int64_t next = largest(model.logits(features, caches, 0, LogitRows::last));
  while (answer.take(next))
    next = options.cache
               ? decoded(model, features, caches, answer.tokens())
               : largest(model.logits(extended(features, answer.tokens()), caches, 0, LogitRows::last));
  return answer.tokens();
}

std::vector<std::int64_t> greedy_along(const LoadedModel& model, const Features& features,
                                       std::vector<KvCache>& caches,
                                       const std::vector<std::int64_t>& most_likely,
                                       const GreedyOptions& options) {
  const Features prompt = prompt_of(features);
  const std::function<void(std::int64_t)> nobody;
  Answer answer(model, options, nobody);
  std::size_t row = 0, in_cache = prompt.input_ids.size();
  while (answer.take(most_likely[row])) {
    if (in_cache == features.input_ids.size() || features.input_ids[in_cache] != answer.tokens().back()) {
      // The answer's other tokens are forgotten, and their rows overwritten.
      for (KvCache& cache : caches) cache.length = static_cast<std::int64_t>(in_cache);
      while (answer.take(decoded(model, prompt, caches, answer.tokens()))) {
      }
      break;
    }
    ++row, ++in_cache;
  }
  return answer.tokens();
}

Features prompt_of(const Features& features) {
  Features prompt;
  const auto answer =
      features.answer_begin < 0 ? features.input_ids.size() : static_cast<std::size_t>(features.answer_begin);
  const auto copy = [answer](const auto& from, auto& to) {
    to.assign(from.begin(), from.begin() + static_cast<std::ptrdiff_t>(answer));
  };
  copy(features.input_ids, prompt.input_ids);
  copy(features.token_class, prompt.token_class);
  copy(features.positions, prompt.positions);
  copy(features.picture, prompt.picture);
  prompt.position_axes = features.position_axes;
  prompt.next_position = answer < features.positions.size() ? std::ranges::max(features.positions[answer])
                                                            : features.next_position;
  return prompt;
}

}  // namespace mquant
