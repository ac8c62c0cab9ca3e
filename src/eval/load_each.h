// The order in which the blocks of a model come into memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "mquant/model.h"

namespace mquant {

/// Runs load(i) for each block, the largest first, several at a time: as many as there are
/// threads, and no more parameters than the largest block has.  So what is read but not yet in the
/// form in which it stays is never more than one block, and the last ones, when almost all of the
/// model is there, are small.  What was read of files is given back after each.
/// The error of the first block in the order of `specs` leaves, after all others have been tried.
///
/// @param load  several at a time; an index of `specs`
void load_each(const std::vector<BlockSpec>& specs, const std::function<void(std::size_t)>& load);

/// The order in which load_each begins: of so many parameters each.
std::vector<std::size_t> largest_first(const std::vector<std::int64_t>& parameters);

}  // namespace mquant
