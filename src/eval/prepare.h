// All that is read and checked before the first sample is evaluated, for evaluate and its dry run
// alike.
#pragma once

#include <array>
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
  std::int64_t answer_tokens = 0;  // end of turn included; 0 without an answer
  std::int64_t pixels = 0;         // floats
  std::array<std::int64_t, kTokenClasses> of_class{};
};

struct EvalWork {
  OpenedModel model;
  std::optional<OpenedModel> reference;
  std::vector<Sample> samples;
  std::vector<SampleSize> sizes;
  std::map<std::string, std::int64_t> tokens;  // by class, answers included; no class without any
  std::int64_t answers = 0;                    // samples that have one
};

/// Opens models, reads samples, makes the features of each sample once and drops them: a sample's
/// are made again when its turn comes, so that memory does not grow with their number.  Obstacles
/// are collected: see Obstacles::raise.
/// @throws Error{usage} for bounds or a key-value cache that cannot be; Error{input} for a
///         reference with other inputs than the model, and for bounds that the samples cannot tell;
///         besides, what readers and processors throw
EvalWork prepare(const EvalOptions& options);

}  // namespace mquant
