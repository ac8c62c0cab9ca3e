// Three-axis positions (m-rope) of text with pictures in it.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "mquant/sample.h"

namespace mquant {

/// Where one picture's tokens lie in the sequence: grid.rows() / merge^2 of them from `begin` on.
struct PictureSpan {
  std::int64_t begin = 0;
  Grid grid;  // in patches, before merging
};

struct MropePositions {
  std::vector<std::array<std::int64_t, 3>> positions;  // [tokens] (t, h, w)
  std::int64_t next = 0;                               // of the token after the last
};

/// Text counts on with t = h = w.  A picture that begins at position p has p + (t, h, w) of its merged grid; the text
/// after it goes on from p + the longest side of that grid, not from the number of its tokens.
/// @param pictures  in order, not overlapping, each inside the sequence
/// @throws Error{internal} otherwise
/// Source  get_rope_index of transformers' modeling_qwen2_vl, for still pictures.
MropePositions mrope_positions(std::int64_t tokens, std::span<const PictureSpan> pictures,
                               std::int64_t merge);

}  // namespace mquant
