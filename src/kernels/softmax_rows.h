// Distributions over a vocabulary, from rows of logits: what is told of one, and of two.
#pragma once

#include <cstdint>
#include <span>

namespace mquant {

/// The softmax of one row of logits.
struct SoftmaxRow {
  std::int64_t largest = 0;  // index of the first of the largest logits, or of the first NaN
  double max = 0;            // that logit
  double log_sum = 0;        // log of the sum of exp(x - max)

  bool operator==(const SoftmaxRow&) const = default;
  /// -log p of what has the logit x.
  double surprise(float x) const { return max - static_cast<double>(x) + log_sum; }
};

/// Sums are those of row_sums.h, in double, and depend on the row alone.  A NaN or an infinity
/// makes the sum a NaN, but for -inf, which has the probability 0.
///
/// @param x  one value or more
/// Cost      an exponential a value
SoftmaxRow softmax_of(std::span<const float> x);

/// KL(p || q) in nats, of rows of one length; the same order of sums.
///
/// @param of_p  softmax_of(p); of_q that of q
/// Cost         an exponential a value
double kl_divergence(std::span<const float> p, const SoftmaxRow& of_p, std::span<const float> q,
                     const SoftmaxRow& of_q);

}  // namespace mquant
