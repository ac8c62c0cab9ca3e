// What two models say to one prompt, compared token by token.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "mquant/sample.h"
#include "mquant/tensor.h"
#include "pipeline/logit_sums.h"

namespace mquant {

/// Adds logits of a sample [n, vocabulary]: KL(reference || model) in nats and equal argmax by the
/// class of the token, and -log p of the answer: row t - 1 predicts token t.  The sums over the
/// vocabulary are those of kernels/softmax_rows.h; rows are added in their order, so they may come
/// in parts.
/// @param logits     float32
/// @param tokens     which tokens the rows are, [n]
/// @param reference  of the same shape, or undefined
/// @returns the most likely token of each row
std::vector<std::int64_t> add_logits(const Features& features, std::span<const std::int64_t> tokens,
                                     const at::Tensor& logits, const at::Tensor& reference, LogitSums& sums);

}  // namespace mquant
