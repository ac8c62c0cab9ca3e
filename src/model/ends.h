// The ends of a decoder: tables of embeddings, and the linear that makes logits.
#pragma once

#include <string_view>

#include "mquant/model.h"
#include "mquant/scheme.h"

namespace mquant {

/// Is the parameter a table whose rows a step takes by input id, and that no other step reads?
bool is_embedding(const BlockSpec& block, std::string_view param);

/// Does the linear make logits?
bool makes_logits(const BlockSpec& block, std::string_view linear);

/// Is all of the block rounded without its inputs?  So it is at either end with 8-bit weights and float activations: there
/// are no input scales to find, and errors that small are not worth a run of all samples and a Hessian.  Rounded alike, a
/// head that is tied to the embeddings gets their codes.
bool rounds_without_inputs(const BlockSpec& block, const QuantScheme& scheme);

}  // namespace mquant
