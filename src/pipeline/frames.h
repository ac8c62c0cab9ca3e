// --verify-each: a pass that keeps the function may change a block's output by its declared frame only.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mquant/block.h"

namespace mquant {

/// A block as it was after a pass ("" for none yet).
struct Snapshot {
  std::string pass;
  Block block;
};

/// Registers of one block between the basis of the checkpoint and that of the block after its passes.
class Frames {
 public:
  Frames(const ModelSpec& model, const BlockSpec& spec, std::uint64_t seed)
      : model_(model), spec_(spec), seed_(seed) {}

  /// x of the checkpoint, in the frame that `block` has register `name` in.
  at::Tensor into(const Block& block, const std::string& name, const at::Tensor& x) const;
  /// And back; a mean that was taken out stays out.
  at::Tensor out_of(const Block& block, const std::string& name, const at::Tensor& x) const;

 private:
  const ModelSpec& model_;
  const BlockSpec& spec_;
  std::uint64_t seed_;
};

/// Samples that verify_function_kept looks at.
inline constexpr std::size_t kVerifiedSamples = 2;

/// Runs every snapshot, in float64, on samples that take part and compares its output with the first's, each brought to the
/// snapshot's frame.
/// @param states  samples at the block's input, in the frame of the last snapshot
/// @returns the largest difference relative to the largest magnitude
/// @throws Error{verification} naming pass, block and difference, when it is more than 1e-4
double verify_function_kept(const ModelSpec& model, std::uint64_t seed,
                            const std::vector<Snapshot>& snapshots, const std::vector<SampleState>& states);

}  // namespace mquant
