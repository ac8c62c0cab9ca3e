// Rotary position embedding: one table for a sample and a tower, applied to q and k.
#pragma once

#include "mquant/block.h"

namespace mquant {

struct RopeTable {
  at::Tensor cos, sin;  // [rows, dims / 2]; undefined: no rotary embedding
};

/// Angles of every row that `block` sees now: position times base^(-2j / dims).
/// Computed in float32 for float32 models, as the reference implementations do, and in float64 otherwise.
RopeTable rope_table(const Block& block, const SampleState& sample, at::ScalarType dtype);

/// x [rows, heads * head_dim], the first `rope.dims` of each head turned.
at::Tensor apply_rope(const at::Tensor& x, const RopeTable& table, const RopeSpec& rope,
                      std::int64_t head_dim);

}  // namespace mquant
