// NaN and infinity in the tensors of a checkpoint: what a broken download or a diverged fine-tune leaves.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "mquant/checkpoint.h"

namespace mquant {

/// Index of the first element that is a NaN or an infinity, as the tensor is stored; nullopt if there is none, and for
/// types that have neither.  Cost: one pass over the bytes, as fast as memory is read.
std::optional<std::int64_t> first_non_finite(const TensorView& view);

/// The index on each axis of element `flat`, in the order of rows.
std::vector<std::int64_t> place_of(std::int64_t flat, const std::vector<std::int64_t>& shape);

/// Throws Error{input} "tensor 'NAME' holds NaN at [3, 5]".
void expect_finite(const std::string& name, const TensorView& view);

}  // namespace mquant
