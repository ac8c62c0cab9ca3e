// All that is read and checked before the first sample is evaluated, for evaluate and its dry run
// alike.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "eval/opened_model.h"
#include "mquant/compile.h"

namespace mquant {

/// What a sample takes, its answer included.
struct SampleSize {
  std::int64_t tokens = 0, vision_rows = 0;
  std::int64_t pixels = 0;  // floats
};

struct EvalWork {
  OpenedModel model;
  std::optional<OpenedModel> reference;
  std::vector<Sample> samples;
  std::vector<Features> prompts, whole;  // without and with answers
  std::vector<SampleSize> sizes;
  std::map<std::string, std::int64_t> tokens;  // by class, answers included; no class without any
  std::int64_t answers = 0;                    // samples that have one
};

/// What stays of the features.
enum class Keep {
  all,
  sizes,  ///< `prompts` and `whole` are empty, and few samples' pixels are in memory at a time
};

/// Opens models, reads samples, makes features.  Obstacles are collected: see Obstacles::raise.
/// @throws Error{usage} for bounds or a key-value cache that cannot be; Error{input} for a
///         reference with other inputs than the model, and for bounds that the samples cannot tell;
///         besides, what readers and processors throw
EvalWork prepare(const EvalOptions& options, Keep keep);

}  // namespace mquant
