// Greedy decoding.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "eval/loaded_model.h"

namespace mquant {

struct GreedyOptions {
  std::int64_t max_new_tokens = 24;
  bool stop = true;   // at the processor's stop tokens, which are not part of the result
  bool cache = true;  // false: every token by a whole forward pass
};

/// The tokens of largest logit, one after another, behind the prompt in `features`.
/// @param on_token  sees each token as it comes; may be empty
std::vector<std::int64_t> greedy(const LoadedModel& model, const Features& features,
                                 const GreedyOptions& options,
                                 const std::function<void(std::int64_t)>& on_token = {});

/// The same tokens, where the prompt and an answer went through the model in one pass: they are
/// read off as far as they are the answer's, and decoded from there.
/// @param features     of the prompt and the answer
/// @param caches       of that pass, with room for the prompt and max_new_tokens
/// @param most_likely  after each token, from the last one of the prompt on
std::vector<std::int64_t> greedy_along(const LoadedModel& model, const Features& features,
                                       std::vector<KvCache>& caches,
                                       const std::vector<std::int64_t>& most_likely,
                                       const GreedyOptions& options);

/// The tokens before the answer, without pixels: what is decoded after them starts from there.
Features prompt_of(const Features& features);

}  // namespace mquant
