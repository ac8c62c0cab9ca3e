// The float model that an artifact stands for: its codes multiplied out.
#pragma once

#include "mquant/artifact.h"
#include "mquant/block.h"

namespace mquant {

/// Float weights of a block, float32.  An artifact has no others than its codes; split columns are put back, and online
/// rotations are undone, because a float model has none.  It computes what the artifact does but for the rounding of
/// activations.
Block float_block(const StoredBlock& stored, const BlockSpec& spec);

/// A copy whose tensors are `dtype`, but for rotary frequencies.
Block narrowed(const Block& block, at::ScalarType dtype);

/// Of the linears, norms and parameters.
std::int64_t bytes_of(const Block& block);

}  // namespace mquant
