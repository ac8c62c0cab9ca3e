// The quantized variants of an artifact on one prompt, timed.
#pragma once

#include <cstdint>
#include <vector>

#include "eval/loaded_model.h"
#include "mquant/bench.h"

namespace mquant {

class QuantizedRuns {
 public:
  /// @param prompt  of one sequence
  QuantizedRuns(LoadedModel& model, const Features& prompt, std::int64_t batch, std::int64_t decode_tokens);

  struct Passes {
    PassSeconds prefill, decode;
  };
  /// One prefill of all sequences, and their decode steps.  @param variant  one of the quantized
  Passes run(BenchVariant variant);

 private:
  /// One forward pass of all sequences, added to `sum`.
  void timed(const Features& features, std::int64_t past, PassSeconds& sum);

  LoadedModel* model_;
  const Features* prompt_;
  std::int64_t batch_, decode_tokens_;
  std::vector<std::vector<KvCache>> caches_;  // one a sequence
};

}  // namespace mquant
