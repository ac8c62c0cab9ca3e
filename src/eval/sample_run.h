// One sample through the model and its reference.
#pragma once

#include <cstdint>

#include "eval/loaded_model.h"
#include "mquant/sample.h"
#include "pipeline/logit_sums.h"

namespace mquant {

/// Rows of logits that are in memory at a time, of each model: [kLogitRows, vocabulary].
inline constexpr std::int64_t kLogitRows = 64;

struct SampleRun {
  std::vector<std::int64_t> answer;  // greedy
  LogitSums sums;
};

/// Each model sees pictures and prompt once: the pass with the sample's answer after the prompt
/// gives the logits that are compared, and the generated answer as far as it is the sample's.
///
/// Where rotary angles depend on the number of tokens (RopeSpec::stretch) and the answer takes it
/// beyond the trained length, the prompt alone runs again for the generated answer.
///
/// @param features   with the answer, if the sample has one
/// @param reference  or null
SampleRun run_sample(const LoadedModel& model, const LoadedModel* reference, const Features& features,
                     std::int64_t max_new_tokens);

}  // namespace mquant
