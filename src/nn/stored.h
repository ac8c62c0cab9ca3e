// Blocks to and from the form in which calibrations and artifacts hold them.
#pragma once

#include <functional>

#include "mquant/artifact.h"
#include "mquant/block.h"

namespace mquant {

/// The type in which a calibration and an artifact hold what comes from a tensor of the source, if it is not a code or a
/// scale.  Something that passes add has the type of what stands beside it.
using StoredTypes = std::function<DType(const Source& source)>;

/// The tensor's own type (float32 for float64), so that float32 norms of a bfloat16 checkpoint stay float32.
/// `otherwise`: of what is not in the checkpoint.
StoredTypes types_in(const Checkpoint& checkpoint, const ModelSpec& model, DType otherwise);

/// @throws Error{input} naming tensor and value for one that does not fit its type
StoredBlock to_stored(const Block& block, const StoredTypes& types);

/// What float tensors become.
enum class FloatTensors {
  widened,  ///< float32
  compact,  ///< the same, but embeddings and the weight that makes logits stay bfloat16 where they are stored so, and
  ///< nothing rotates or quantizes the weight's input: run_step widens what it looks up; the runtime multiplies by the
  ///< weight as it is, run_linear does not
};
Block from_stored(StoredBlock stored, const BlockSpec& spec, FloatTensors floats = FloatTensors::widened);

/// The block with all of its float tensors in `dtype`.
Block converted(Block block, at::ScalarType dtype);

/// Rounds every float tensor to its stored type once and continues in float32: the model that is calibrated is the one
/// that is written.  Weights that are going to be codes (`coded`) only become float32.
/// @throws Error{input} naming tensor and value for one that does not fit its type
void round_to_stored(Block& block, const StoredTypes& types, bool coded);

}  // namespace mquant
