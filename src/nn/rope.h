// Rotary position embedding: one table for a sample and a tower, applied to q and k.
#pragma once

#include <array>
#include <memory>
#include <utility>
#include <variant>
#include <vector>

#include "mquant/block.h"

namespace mquant {

/// What the angles of a block are made of.  Real: float for float32 models.
template <class Real>
struct RopeAngles {
  std::vector<std::pair<Real, std::size_t>>
      turns;  // [dims / 2] the angle for a coordinate of 1, and its axis
  std::vector<std::array<std::int64_t, 3>> coordinates;  // [rows]
  double position_scale = 1;
  bool operator==(const RopeAngles&) const = default;
};

struct RopeTable {
  at::Tensor cos, sin;  // [rows, dims / 2]
  std::variant<RopeAngles<float>, RopeAngles<double>> made_from;
};

/// Angles of every row that `block` sees now: position times base^(-2j / dims).  Null: no rotary embedding.
/// Computed in float32 for float32 models, as the reference implementations do, and in float64 otherwise.
/// A table that `sample` keeps from another block is taken again where it was made from the same angles.
std::shared_ptr<const RopeTable> rope_table(const Block& block, SampleState& sample, at::ScalarType dtype);

/// x [rows, heads * head_dim], the first `rope.dims` of each head turned; x itself without a table.
at::Tensor apply_rope(const at::Tensor& x, const RopeTable* table, const RopeSpec& rope,
                      std::int64_t head_dim);

}  // namespace mquant
