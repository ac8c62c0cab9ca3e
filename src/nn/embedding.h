// Rows of a table of embeddings that is codes.
#pragma once

#include <cstdint>
#include <vector>

#include "mquant/scheme.h"
#include "mquant/tensor.h"

namespace mquant {

/// Row i is row ids[i] of the table, each code times the row's scale: float32 [ids, width].
/// @throws Error{input} for an id that the table does not have
at::Tensor embedding_rows(const QuantizedLinear& table, const std::vector<std::int64_t>& ids);

}  // namespace mquant
