// Scales of weights, and rounding each weight on its own.
#pragma once

#include <vector>

#include "mquant/scheme.h"
#include "mquant/tensor.h"

namespace mquant {

struct RoundingOptions {
  /// Let the scale clip a row's largest weights where that lowers its error.
  bool search_clip = true;
  /// Scales are rounded to bfloat16 (16) or kept float32 (32), before codes are computed.
  int scale_bits = 16;
};

/// One symmetric scale for each output row: max |w| / 7 or / 127.  With search_clip, of the shrunk
/// maxima p max |w|, p = 1, 0.99, ..., 0.21, the one with the least sum of |error|^2.4; never
/// worse than p = 1 by that measure.  A row of zeros has the scale 1.
///
/// @param W  weight, [out, in]
/// @return   [out], positive, real units a step
/// @throws   Error{input} naming row and column if W has a NaN or an infinity
/// Cost      up to 80 passes over W; a row gives up a candidate once it is known to be worse than
///           the best of those before, which are spread over the whole range first
/// Source    GPTQ, the authors' code (grid 100, norm 2.4); MQuant, section 4.1
std::vector<float> weight_scales(const at::Tensor& W, int weight_bits, const RoundingOptions& options);

/// Every weight to its nearest code, ties to even.
/// @return  out, in, scheme, codes and weight_scale; the same bytes for any number of threads
QuantizedLinear round_to_nearest(const at::Tensor& W, const QuantScheme& scheme,
                                 const RoundingOptions& options);

/// The weight that the codes stand for, split columns put in: float32, [out, in].
at::Tensor dequantized(const QuantizedLinear& linear);

}  // namespace mquant
