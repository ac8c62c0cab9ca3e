// AIFS: the order in which each class of tokens is one run of rows.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mquant/sample.h"

namespace mquant {

/// Original position of each new row: a stable partition, visual tokens first, then text, then sink.
/// Source: MQuant, arXiv 2502.00425, section 3.1; positions count from 0.
std::vector<std::int64_t> class_order(const std::vector<TokenClass>& classes);

/// The keys that a query sees, as original positions [begin, end).
struct KeyInterval {
  std::int64_t begin = 0, end = 0;
};
/// Causal attention: allowed(i, j) = order(j) <= order(i), and no further back than `window` positions if it is not 0.
KeyInterval causal_keys(std::int64_t original_position, std::int64_t window);

/// The rule for a runtime, as JSON for the manifest.
std::string token_order_rule();

}  // namespace mquant
