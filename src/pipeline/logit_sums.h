// What is summed over tokens when two models are compared; no libtorch, so that readers of files need none.
#pragma once

#include <array>
#include <cstdint>

#include "mquant/compile.h"
#include "mquant/sample.h"

namespace mquant {

/// Sums over the tokens of one sample or of several.
struct LogitSums {
  std::array<AgreementRow, kTokenClasses> agreement;  ///< sums, not means; no tokens without a reference
  double negative_log_likelihood = 0, reference_negative_log_likelihood = 0;  ///< of the answers' tokens
  std::int64_t answer_tokens = 0;

  void add(const LogitSums& other);
};

}  // namespace mquant
