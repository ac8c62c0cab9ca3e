// Blocks to and from the form in which calibrations and artifacts hold them.
#pragma once

#include "mquant/artifact.h"
#include "mquant/block.h"

namespace mquant {

/// `float_dtype`: of everything that is not a code or a scale.
StoredBlock to_stored(const Block& block, DType float_dtype);

/// Float tensors become float32.
Block from_stored(const StoredBlock& stored, const BlockSpec& spec);

/// Rounds every float tensor to `stored` once and continues in float32: the model that is calibrated is the one that
/// is written.  Weights that are going to be codes (`coded`) only become float32.
void round_to_stored(Block& block, DType stored, bool coded);

}  // namespace mquant
