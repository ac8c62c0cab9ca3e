// Second moments of a linear's input codes: its Hessian, as an exact integer matrix and a unit.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "kernels/second_moment.h"

namespace mquant {

/// sum_t m_t q_t q_t^T over rows of codes, [in, in], in int64: exact, so that neither the order of
/// the rows nor threads, processors or a sum over processes change a bit.
///
/// The multiplier m_t is the integer weight of a row, as moment_weights chooses one for each
/// class.
/// Memory   4 in^2 bytes, the lower triangle in tiles, and 1024 rows for each multiplier
class CodeMoments {
 public:
  explicit CodeMoments(std::int64_t in);

  /// @param codes       [rows, in], rows `stride` apart, each in [-127, 127]
  /// @param multiplier  in [1, kMostMultiplier]
  /// @throws            Error{unsupported} before a sum could overflow, with nothing added
  /// Cost               rows in^2 operations, on all threads
  void add(const std::int8_t* codes, std::int64_t rows, std::int64_t stride, std::int64_t multiplier);

  /// Adds what the other one has.  @throws as add does; Error{internal} for another width
  void merge(const CodeMoments& other);

  std::int64_t width() const { return in_; }
  std::int64_t rows() const { return rows_; }  ///< whatever their multipliers

  /// @param i, j  columns, in any order
  std::int64_t entry(std::int64_t i, std::int64_t j);

  /// Whole rows [first, first + count) times unit, in float32, to out [count, in].
  /// Only after values() or entry(), with nothing added since.
  void copy_rows(std::int64_t first, std::int64_t count, double unit, float* out) const;

  /// All sums, for adding up those of several processes entry by entry.  The caller sees to it
  /// that they fit: moment_weights with the rows of all processes.
  ///
  /// Tile (i, j), j <= i, of [kMomentTile, kMomentTile], row-major, is number i (i + 1) / 2 + j.
  /// Tiles on the diagonal are not complete above it; beyond the width there are zeros.
  std::span<std::int64_t> values();

 private:
  struct Waiting {
    std::int64_t rows = 0;
    std::vector<std::int8_t> codes;  // [rows, in_]
  };

  void reserve(std::int64_t weighted_rows);
  void enqueue(const std::int8_t* codes, std::int64_t rows, std::int64_t stride, std::int64_t multiplier);
  void add_chunk(const std::int8_t* codes, std::int64_t rows, std::int64_t stride, std::int64_t multiplier);
  void flush();

  std::int64_t in_ = 0, rows_ = 0;
  std::int64_t weighted_rows_ = 0;  // sum of the multipliers: what bounds every sum
  std::vector<std::int64_t> values_;
  MomentChunk chunk_;
  // By multiplier: rows until there are enough for a chunk.
  std::map<std::int64_t, Waiting> waiting_;
};

/// Weights as multiples of one unit.
struct MomentWeights {
  double unit = 1;
  std::vector<std::int64_t> multipliers;  ///< multiplier * unit is about the weight
};

/// The least multipliers that give every weight to 1e-4, relative.  Where these would pass
/// kMostMultiplier, or sums over that many rows 2^63, the largest that do not: the smallest
/// weights are then known badly, and never less than the unit.
///
/// @param weights  of each class, positive and finite
/// @param rows     of each class, those of all processes
/// @throws         Error{internal} for a weight that is not positive and finite;
///                 Error{unsupported} for more rows than int64 can sum, 5e14
MomentWeights moment_weights(std::span<const double> weights, std::span<const std::int64_t> rows);

}  // namespace mquant
