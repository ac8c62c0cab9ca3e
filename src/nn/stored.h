// Blocks to and from the form in which calibrations and artifacts hold them.
#pragma once

#include "mquant/artifact.h"
#include "mquant/block.h"

namespace mquant {

/// `float_dtype`: of everything that is not a code or a scale.
StoredBlock to_stored(const Block& block, DType float_dtype);

/// What float tensors become.
enum class FloatTensors {
  widened,  ///< float32
  compact,  ///< the same, but embeddings and the weight that makes logits stay bfloat16 where they are stored so:
  ///< run_step widens what it looks up; the runtime multiplies by them as they are, run_linear does not
};
Block from_stored(StoredBlock stored, const BlockSpec& spec, FloatTensors floats = FloatTensors::widened);

/// The block with all of its float tensors in `dtype`.
Block converted(Block block, at::ScalarType dtype);

/// Rounds every float tensor to `stored` once and continues in float32: the model that is calibrated is the one that
/// is written.  Weights that are going to be codes (`coded`) only become float32.
void round_to_stored(Block& block, DType stored, bool coded);

}  // namespace mquant
