// What passes ask of a model's description.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/hadamard.h"
#include "mquant/block.h"
#include "mquant/model.h"

namespace mquant {

/// Does any norm of the model over `space` subtract means?
bool has_layer_norm(const ModelSpec& model, Space space);

/// Tower whose exemptions hold for a space: its residual stream's.
Tower tower_of(Space space);
bool exempted(const ModelSpec& model, std::string_view pass, Space space);

/// Width of a space in this block: what a rotation must turn.
std::int64_t width_of(const ModelSpec& model, const BlockSpec& block, Space space);

/// An orthogonal matrix R = diag(signs) H / sqrt(n), block-diagonal where there is no Hadamard matrix of the order.
struct Rotation {
  HadamardPlan plan;
  std::vector<std::int8_t> signs;  // empty: all +1
};

/// The rotation of `space`: one for the whole model for residual streams, one a block for `value`.  Signs come from
/// the seed and a name, so that they can be made again anywhere.
Rotation rotation_of(const ModelSpec& model, const BlockSpec& block, Space space, std::uint64_t seed);

/// x R on each run of plan.size columns; any float type, any shape.
at::Tensor times(const at::Tensor& x, const Rotation& rotation);
/// x R^T.
at::Tensor times_inverse(const at::Tensor& x, const Rotation& rotation);

}  // namespace mquant
