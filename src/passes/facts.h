// What passes ask of a model's description.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/hadamard.h"
#include "mquant/block.h"
#include "mquant/model.h"
#include "passes/stream_options.h"

namespace mquant {

/// Does any norm of the model over `space` subtract means?
bool has_layer_norm(const ModelSpec& model, Space space);

/// Is it a residual stream: a space that runs through several blocks?
bool is_stream(Space space);
/// Streams that `rotate` is to rotate, exemptions aside.
std::vector<Space> streams_to_rotate(const RotateOptions& options);

/// Does `bake-means` take the means out of this stream?
bool bakes_means(const ModelSpec& model, const std::set<Space>& rotated, Space space);
/// Does `fold-norms` empty this norm: does a rotation even out what goes into each linear that reads it?
bool folds_norm(const FoldNormsOptions& options, const std::set<Space>& rotated, const BlockSpec& block,
                std::string_view norm);
/// Does `rotate-online` rotate the input of this linear, if it is quantized with inputs?
bool rotates_online(const RotateOnlineOptions& options, const ModelSpec& model, const BlockSpec& block,
                    const LinearSpec& linear);

/// Tower whose exemptions hold for a space: its residual stream's.
Tower tower_of(Space space);
/// Attention values are local to a block, and never exempted.
bool exempted(const ModelSpec& model, std::string_view pass, Space space);

/// Width of a space in this block: what a rotation must turn.
std::int64_t width_of(const ModelSpec& model, const BlockSpec& block, Space space);

/// An orthogonal matrix R = diag(signs) H / sqrt(n), block-diagonal where there is no Hadamard matrix of the order.
///
/// A LayerNorm commutes with R only if R keeps the vector of ones, e R = e.  With `keeps_means` R is
/// D H diag(signs) H^T D / n, where D makes the first column of each block of H all ones, and signs are + there: then
/// R e = D H diag(signs) H^T D e / n = D H (e_1 of each block) = e.  It costs two transforms instead of one.
struct Rotation {
  HadamardPlan plan;
  std::vector<std::int8_t> signs;  // empty: all +1
  bool keeps_means = false;
  std::vector<std::int8_t> first_column;  // D, for keeps_means
};

/// Does the tower stay a LayerNorm one, because something reads the means of its stream?
bool keeps_means(const ModelSpec& model, Space space);

/// The rotation of `space`: one for the whole model for residual streams, one a block for `value`.  Signs come from
/// the seed and a name, so that they can be made again anywhere.
Rotation rotation_of(const ModelSpec& model, const BlockSpec& block, Space space, std::uint64_t seed);

/// x R on each run of plan.size columns; any float type, any shape.
at::Tensor times(const at::Tensor& x, const Rotation& rotation);
/// x R^T.
at::Tensor times_inverse(const at::Tensor& x, const Rotation& rotation);

}  // namespace mquant
