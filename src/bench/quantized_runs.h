// The quantized variants of an artifact on one prompt, timed.
#pragma once

#include <cstdint>
#include <string>

#include "eval/loaded_model.h"
#include "mquant/bench.h"

namespace mquant {

class QuantizedRuns {
 public:
  /// @param prompt  of one sequence
  QuantizedRuns(LoadedModel& model, const Features& prompt, std::int64_t batch, std::int64_t decode_tokens);

  /// Why a variant cannot be run; "" if it can.
  std::string refusal(BenchVariant variant) const;

  struct Passes {
    PassSeconds prefill, decode;
  };
  /// One prefill of all sequences, and their decode steps.
  Passes run(BenchVariant variant);

 private:
  PassSeconds timed(const Features& features, std::int64_t past);

  LoadedModel* model_;
  const Features* prompt_;
  std::int64_t batch_, decode_tokens_;
  std::vector<std::vector<KvCache>> caches_;  // one a sequence
};

}  // namespace mquant
