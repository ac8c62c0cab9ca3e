// What two models say to one prompt, compared token by token.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "mquant/compile.h"
#include "mquant/sample.h"
#include "mquant/tensor.h"

namespace mquant {

/// Sums over the tokens of one sample or of several.
struct LogitSums {
  std::array<AgreementRow, kTokenClasses> agreement;  ///< sums, not means; no tokens without a reference
  double negative_log_likelihood = 0, reference_negative_log_likelihood = 0;  ///< of the answers' tokens
  std::int64_t answer_tokens = 0;

  void add(const LogitSums& other);
};

/// Adds logits of a sample [n, vocabulary]: KL(reference || model) in nats and equal argmax by the class of the token,
/// and -log p of the answer: row t - 1 predicts token t.
/// @param tokens     which tokens the rows are, [n]
/// @param reference  of the same shape, or undefined
void add_logits(const Features& features, std::span<const std::int64_t> tokens, const at::Tensor& logits,
                const at::Tensor& reference, LogitSums& sums);

}  // namespace mquant
