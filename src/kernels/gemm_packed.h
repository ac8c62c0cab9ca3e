// Products of int8 rows with packed weights: exact int32 sums, then one rounding to float32.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/packed_weight.h"

namespace mquant {

/// Quantized rows, as quantize_row leaves them.
struct CodeRows {
  const std::int8_t* codes = nullptr;  ///< [rows, padded_inputs(in)], zeros behind the inputs; each in [-127, 127]
  const std::int32_t* sums = nullptr;  ///< [rows], of each row's codes
  std::int64_t rows = 0;
};

/// Rows up to `end`, from the end of the run before: one token class, say, and the scales of its product.
struct ScaleRun {
  std::int64_t end = 0;
  const double* scale = nullptr;  ///< [out]
};

/// What becomes of the sums:
///   y[r, o] = float32( sum[r, o] * (row_scale[r] * scale[o])  +  sum_k split_x[r, k] split_w[k, o]  +  bias[o] )
/// in float64, in this order, and rounded once.  A product of two float32 scales is exact in float64, so it does not
/// matter whether a row's scale is given apart or is in the scale of its run already.
struct Epilogue {
  std::span<const ScaleRun> runs;     ///< the last one ends at the last row
  const double* row_scale = nullptr;  ///< [rows]; null: all 1
  const double* split_x = nullptr;    ///< [rows, splits]
  const double* split_w = nullptr;    ///< [splits, out]
  std::int64_t splits = 0;
  const float* bias = nullptr;  ///< [out] or null
};

/// Memory of one thread, reused from call to call.
struct GemmScratch {
  std::vector<std::uint8_t> unpacked;
  std::vector<std::int32_t> sums;
};

/// y = rows x weight for the outputs of panels [panel_begin, panel_end); single-threaded.
/// @param y  [rows, out], rows `stride` apart; only the columns of those panels are written
/// Cost      2 rows in out operations; the weight is read once
void gemm_packed(const CodeRows& a, const PackedWeight& w, std::int64_t panel_begin, std::int64_t panel_end,
                 const Epilogue& epilogue, float* y, std::int64_t stride, GemmScratch& scratch);

/// The sums alone, [rows, kPanelOutputs], of one panel: the exact reference of a kernel.  Padded outputs are 0.
void panel_sums(const CodeRows& a, const PackedWeight& w, std::int64_t panel, std::int32_t* sums,
                GemmScratch& scratch);

}  // namespace mquant
