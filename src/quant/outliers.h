// RMS (rotation magnitude suppression): channels that stand out after rotation, kept apart from the int4 matrix.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "mquant/scheme.h"
#include "mquant/tensor.h"

namespace mquant {

struct OutlierOptions {
  /// A channel's largest |w| against the median of all channels, at least 1; 0: not looked at.
  double weight_ratio = 3;
  double activation_ratio = 0;  ///< the same of |x|; 0: not looked at
  std::int64_t limit = 4;       ///< at most this many, and half of all: the most outstanding ones
};

/// Input channels to be split, ascending: those that exceed either ratio.
///
/// A plain Hadamard rotation gathers the mean of the channels in channel 0, whose column then sets the scale of every
/// row (MQuant, section 3.2, equation 9); finding it by its size also works for other rotations and for none.
///
/// @param weights            [out, in] each: the linears that read the same input
/// @param activation_absmax  [in], or empty: then activation_ratio must be 0
std::vector<std::int64_t> outlier_channels(std::span<const at::Tensor> weights,
                                           std::span<const float> activation_absmax,
                                           const OutlierOptions& options);

/// Takes the columns out of the weights of linears that are rows of one stored matrix: returns each linear's part and
/// zeroes the columns in the weights (float, [out, in] each).  Float, or int8 with one bfloat16 scale for a column of the
/// whole matrix, so that an artifact can hold the parts as one.  Input scales are left to calibration.
std::vector<SplitColumns> make_splits(std::span<at::Tensor> weights, std::span<const std::int64_t> channels,
                                      bool quantized);

}  // namespace mquant
