// Hadamard matrices by Paley's two constructions, over any finite field that is small enough.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace mquant {

/// A Hadamard matrix of this order, [order, order] of +-1, row-major; nullopt where neither construction gives one.
///
/// Paley I: order q + 1 for a prime power q = 3 mod 4.  Paley II: order 2 (q + 1) for a prime power q = 1 mod 4.
/// The first is preferred.  Rows and columns are negated so that the first row and the first column are all +1; all
/// other rows and columns then sum to 0, so x H gathers the mean of x in its first channel and nowhere else.
/// Artifacts store only orders and rely on this function: what it returns for an order must never change.
///
/// Source: R. E. A. C. Paley, On orthogonal matrices, J. Math. Phys. 12 (1933).
std::optional<std::vector<std::int8_t>> paley_matrix(std::int64_t order);

/// Whether paley_matrix gives one; much cheaper.
bool has_paley_matrix(std::int64_t order);

}  // namespace mquant
