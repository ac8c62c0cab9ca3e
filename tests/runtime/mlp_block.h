// One block of a decoder's MLP, quantized with everything that an input can have: rotation, split channels, classes.
#pragma once

#include <memory>
#include <vector>

#include "mquant/block.h"

namespace mquant::test {

inline constexpr std::int64_t kWidth = 40, kHidden = 72, kSplitChannel = 3;

/// norm -> gate, up (int4) -> silu(gate) * up -> down (int8, rotated, one split channel) -> + x.
BlockSpec mlp_spec();
/// Random codes from a fixed seed; no scale for sinks.
Block mlp_block(const BlockSpec& spec, bool float_split = false);

/// A sample of `visual` and then `text` tokens with register "x" of random rows.
struct MlpSample {
  Features features;
  at::Tensor x;
  SampleState state() const;
};
MlpSample mlp_sample(std::int64_t visual, std::int64_t text, std::uint64_t seed);

}  // namespace mquant::test
