// What two models say to one prompt, compared token by token.
#pragma once

#include <cstdint>
#include <span>

#include "mquant/sample.h"
#include "mquant/tensor.h"
#include "pipeline/logit_sums.h"

namespace mquant {

/// Adds logits of a sample [n, vocabulary]: KL(reference || model) in nats and equal argmax by the class of the token,
/// and -log p of the answer: row t - 1 predicts token t.
/// @param tokens     which tokens the rows are, [n]
/// @param reference  of the same shape, or undefined
void add_logits(const Features& features, std::span<const std::int64_t> tokens, const at::Tensor& logits,
                const at::Tensor& reference, LogitSums& sums);

}  // namespace mquant
