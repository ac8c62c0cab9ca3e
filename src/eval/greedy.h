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

}  // namespace mquant
