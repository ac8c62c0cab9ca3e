// Rotary position embedding of rows of heads.
#pragma once

#include <cstdint>

namespace mquant {

/// Pairs (a, b) of each head become (a cos - b sin, b cos + a sin).  Strides are the distances of rows, in values.
struct RopeRows {
  const float* x = nullptr;    // [rows, heads * head_dim]
  float* out = nullptr;        // [rows, heads * head_dim]; may be x
  const float* cos = nullptr;  // [rows, dims / 2]
  const float* sin = nullptr;  // [rows, dims / 2]
  std::int64_t rows = 0, heads = 0, head_dim = 0;
  std::int64_t dims = 0;  // of a head that turn, from the front; the others are copied
  std::int64_t x_stride = 0, out_stride = 0;
  bool neighbours = false;  // pairs are (2 j, 2 j + 1), else (j, j + dims / 2)
};

/// Each product and sum is rounded once, so the bits depend on neither place nor processor.  Single-threaded.
/// @throws Error{internal} for sizes that contradict each other
void rope_rows(const RopeRows& problem);

}  // namespace mquant
