// The ends of a decoder: tables of embeddings, and the linear that makes logits.
#pragma once

#include <cstdint>
#include <string_view>

#include "mquant/model.h"
#include "mquant/scheme.h"

namespace mquant {

/// Is the parameter a table whose rows a step takes by input id, and that no other step reads?
bool is_embedding(const BlockSpec& block, std::string_view param);

/// Does the linear make logits?
bool makes_logits(const BlockSpec& block, std::string_view linear);

/// Rows of a block's table of embeddings, or of its head: what can be worked on in runs, since
/// each row goes its own way. 0: the block is no end, or has other large parts.
std::int64_t rows_of_end(const BlockSpec& block);
/// The same end with some of its rows only.
BlockSpec with_rows(BlockSpec block, std::int64_t rows);

/// Is all of the block rounded without its inputs?  So it is at either end with 8-bit weights and
/// float activations: there are no input scales to find, and errors that small are not worth a run
/// of all samples and a Hessian.  Rounded alike, a head that is tied to the embeddings gets their
/// codes.
bool rounds_without_inputs(const BlockSpec& block, const QuantScheme& scheme);

}  // namespace mquant
