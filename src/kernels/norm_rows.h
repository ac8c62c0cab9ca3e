// RMSNorm and LayerNorm of rows.
#pragma once

#include <cstdint>

namespace mquant {

/// Rows that are normalized, each on its own.  Strides are the distances of rows, in values.
struct NormRows {
  const float* x = nullptr;  // [rows, width]
  float* out = nullptr;      // [rows, width]; may be x
  std::int64_t rows = 0, width = 0, x_stride = 0, out_stride = 0;
  const float* scale = nullptr;  // [width] or null: ones
  const float* shift = nullptr;  // [width] or null: zeros
  double eps = 0;
};

/// out = scale x / sqrt(mean(x^2) + eps) + shift.
///
/// The sums are in double, in an order that depends on the width only: a row gets the same bits wherever it stands and
/// on every processor.  A NaN makes its row NaN; an infinity makes NaN at its own place, and in LayerNorm of the row.
///
/// Cost     two passes over a row, three for layer_norm_rows; single-threaded
void rms_norm_rows(const NormRows& problem);
/// out = scale (x - mean(x)) / sqrt(mean((x - mean(x))^2) + eps) + shift.
void layer_norm_rows(const NormRows& problem);

/// The same for one row [width].
inline void rms_norm_row(const float* x, std::int64_t width, const float* scale, const float* shift,
                         double eps, float* out) {
  rms_norm_rows({x, out, 1, width, width, width, scale, shift, eps});
}
inline void layer_norm_row(const float* x, std::int64_t width, const float* scale, const float* shift,
                           double eps, float* out) {
  layer_norm_rows({x, out, 1, width, width, width, scale, shift, eps});
}

}  // namespace mquant
