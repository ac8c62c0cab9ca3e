// Rotation of rows by Hadamard matrices: which matrix a width gets, and the fast transform.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace mquant {

/// A dense factor [order, order] of +-1, row-major, and the same as sign patterns for the transform.
struct HadamardFactor {
  std::int64_t order = 0;
  std::vector<std::int8_t> matrix;
  /// For each output, the signs of its inputs 4 at a time, bit b of [group * order + output] set for a minus at input
  /// 4 group + b; by columns (x H) and by rows (x H^T).
  std::vector<std::uint8_t> columns, rows;
};

/// H = F_1 (x) F_2 (x) ... (x) Sylvester(power): a Hadamard matrix of order `block`, one for each `block` columns.
struct HadamardPlan {
  std::int64_t size = 0;  ///< columns in all
  std::int64_t block =
      0;  ///< size % block == 0; block == size where a Hadamard matrix of that order is known
  std::int64_t power = 1;                                      ///< a power of two
  std::vector<std::shared_ptr<const HadamardFactor>> factors;  ///< orders descending
};

/// Dense factors are no larger than this: beyond, a rotation would cost as much as the linear that it serves.
inline constexpr std::int64_t kLargestHadamardFactor = 512;

/// The plan of the largest block that divides `size`.  Of several factorings the one with the least additions is taken.
/// Equal arguments give equal matrices in every version of this program: artifacts store size and block only.
/// @throws Error{input} for a size outside [1, 2^24]
HadamardPlan plan_hadamard(std::int64_t size);
/// The same with the block given, as an artifact records it.
/// @throws Error{input} if `block` does not divide `size`, or no matrix of that order can be made here
HadamardPlan plan_hadamard(std::int64_t size, std::int64_t block);

/// H of one block, dense: [block, block] of +-1, row-major.  For tests and sidecars; block^2 bytes.
std::vector<std::int8_t> hadamard_matrix(const HadamardPlan& plan);

enum class Direction {
  forward,  ///< x D H / sqrt(block)
  inverse,  ///< x H^T D / sqrt(block); undoes `forward`
};

/// Rotates each run of `block` columns, in place.  D is diag(signs).  H is not symmetric in general.
/// A row's result does not depend on the other rows, nor on the instructions in use.
///
/// @param x      [rows, plan.size], contiguous
/// @param signs  [plan.size] of +-1, or empty: all +1
/// Cost          (log2(power) + sum of orders / 4) additions a value; single-threaded
void hadamard_rows(float* x, std::int64_t rows, const HadamardPlan& plan, std::span<const std::int8_t> signs,
                   Direction direction);
void hadamard_rows(double* x, std::int64_t rows, const HadamardPlan& plan, std::span<const std::int8_t> signs,
                   Direction direction);

}  // namespace mquant
