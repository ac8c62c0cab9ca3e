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

}  // namespace

std::vector<std::int64_t> greedy(const LoadedModel& model, const Features& features,
                                 const GreedyOptions& options,
                                 const std::function<void(std::int64_t)>& on_token) {
  const auto prompt = static_cast<std::int64_t>(features.input_ids.size());
  std::vector<KvCache> caches;
  if (options.cache) caches = model.make_caches(prompt + options.max_new_tokens);
  const std::vector<std::int64_t>& stops = model.processor().stop_ids();
  std::vector<std::int64_t> tokens;
  at::Tensor logits = model.logits(features, caches, 0, LogitRows::last);
  while (static_cast<std::int64_t>(tokens.size()) < options.max_new_tokens) {
    const std::int64_t token = largest(logits);
    if (options.stop && std::ranges::find(stops, token) != stops.end()) break;
    tokens.push_back(token);
    if (on_token) on_token(token);
    const auto done = static_cast<std::int64_t>(tokens.size());
    if (done == options.max_new_tokens) break;
    logits = options.cache ? model.logits(decode_step(features, token, done - 1), caches, prompt + done - 1,
                                          LogitRows::last)
                           : model.logits(extended(features, tokens), caches, 0, LogitRows::last);
  }
  return tokens;
}

}  // namespace mquant
