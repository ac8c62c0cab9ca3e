// Second moments of int8 codes: multiples of Q^T Q added up in int64, exactly, tile by tile of the
// lower triangle.
#pragma once

#include <cstdint>
#include <vector>

namespace mquant {

inline constexpr std::int64_t kMomentTile = 192;   ///< columns, and rows, of a tile
inline constexpr std::int64_t kMomentRows = 1024;  ///< of a chunk, at most
/// Of a chunk's products.
inline constexpr std::int64_t kMostMultiplier = std::int64_t{1} << 30;
/// No product of two codes is larger.
inline constexpr std::int64_t kMostInt8Square = std::int64_t{127} * 127;

namespace moments {
struct Body;
}

/// Rows of codes, laid out once for all products of their columns.  Tiles are laid out, and their
/// products added, by any threads at the same time, each by itself.
class MomentChunk {
 public:
  explicit MomentChunk(std::int64_t width);

  std::int64_t width() const { return width_; }
  std::int64_t tiles() const { return (width_ + kMomentTile - 1) / kMomentTile; }

  /// Makes room for the rows to come; what was laid out before is void.
  /// @param rows  in [1, kMomentRows], so that the sum of a chunk fits into int32
  void resize(std::int64_t rows);

  /// Lays out the columns of one tile.
  /// @param codes  [rows, width], rows `stride` apart, each in [-127, 127]
  /// Cost          one pass over them
  void lay_out(std::int64_t tile, const std::int8_t* codes, std::int64_t stride);

  /// sums[i, j] += multiplier * sum_r q[r, i] q[r, j], where i counts from the first column of
  /// `row_tile` and j from that of `column_tile`, which is not the larger one.
  ///
  /// On the diagonal, blocks of 48 x 48 above it stay as they are: on every processor the same.
  /// Columns beyond the width are zeros.
  /// @param sums        [kMomentTile, kMomentTile]; whoever calls sees to it that they cannot
  ///                    overflow
  /// @param multiplier  in [1, kMostMultiplier]
  /// Cost               2 rows kMomentTile^2 operations, single-threaded; no scratch
  void add_products(std::int64_t row_tile, std::int64_t column_tile, std::int64_t multiplier,
                    std::int64_t* sums) const;

 private:
  std::int64_t tile_bytes() const;

  std::int64_t width_ = 0, rows_ = 0;
  const moments::Body* body_ = nullptr;
  // [tiles][panels][groups of rows][columns of a panel][rows of a group]
  std::vector<std::uint8_t> laid_out_;
  std::vector<std::int32_t> column_sums_;  // [tiles * kMomentTile]; where the body asks for them
};

}  // namespace mquant
