// What the bodies of second_moment share.  Each has a layout of its own: columns side by side in
// panels, and in a panel, for each group of rows, those rows of one column beside each other.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/second_moment.h"

namespace mquant::moments {

/// Columns of a block: a multiple of what every body takes at once.
inline constexpr std::int64_t kBlock = 48;

/// The columns of one tile.
struct LayoutProblem {
  const std::int8_t* codes = nullptr;  // [rows, columns], rows `stride` apart
  std::int64_t rows = 0, columns = 0, stride = 0;
  std::uint8_t* out = nullptr;   // [panels][groups][panel][depth], zeros beyond the codes
  std::int32_t* sums = nullptr;  // [kMomentTile], of columns
};

/// A block of kBlock x kBlock products.
struct BlockProblem {
  const std::uint8_t *a = nullptr, *b = nullptr;  // panels of kBlock columns each
  const std::int32_t* a_sums = nullptr;           // [kBlock]
  std::int64_t groups = 0;
  std::int64_t multiplier = 0;
  std::int64_t* out = nullptr;  // rows kMomentTile apart; added to
};

struct Body {
  // Columns of a panel, rows of a group, bytes of a code.
  std::int64_t panel = 0, depth = 0, code_bytes = 0;
  void (*lay_out)(const LayoutProblem&) = nullptr;
  void (*add_block)(const BlockProblem&) = nullptr;
  std::int64_t groups(std::int64_t rows) const { return (rows + depth - 1) / depth; }
  std::int64_t column_bytes(std::int64_t rows) const { return groups(rows) * depth * code_bytes; }
};

/// Calls group(rows, out, panel) for every group of rows and panel: rows[Depth] are pointers to
/// Panel codes each, zeros where there are none, out has Panel * Depth codes.
template <int Panel, int Depth, class Group>
[[gnu::always_inline]] inline void for_each_group(const LayoutProblem& p, std::int64_t group_bytes,
                                                  Group&& group) {
  const std::int64_t groups = (p.rows + Depth - 1) / Depth;
  std::int8_t padded[Depth][Panel];
  for (std::int64_t panel = 0; panel < kMomentTile / Panel; ++panel) {
    const std::int64_t first = panel * Panel;
    const std::int64_t columns = std::clamp<std::int64_t>(p.columns - first, 0, Panel);
    std::uint8_t* out = p.out + panel * groups * group_bytes;
    for (std::int64_t g = 0; g < groups; ++g, out += group_bytes) {
      const std::int8_t* rows[Depth];
      for (std::int64_t d = 0; d < Depth; ++d) {
        const std::int64_t row = g * Depth + d;
        rows[d] = p.codes + row * p.stride + first;
        if (row < p.rows && columns == Panel) continue;
        std::fill_n(padded[d], Panel, std::int8_t{0});
        if (row < p.rows) std::copy_n(rows[d], columns, padded[d]);
        rows[d] = padded[d];
      }
      group(rows, out, panel);
    }
  }
}

void lay_out_pairs(const LayoutProblem& p);
#if defined(__x86_64__)
extern const Body avx2;
extern const Body avx512;
#endif

}  // namespace mquant::moments
