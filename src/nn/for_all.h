// Work on many samples at a time.
#pragma once

#include <cstddef>
#include <functional>

namespace mquant {

/// Runs work(i) for all i on all threads, each call on one: what libtorch computes in it does not
/// depend on their number.  The error of the lowest index leaves.
void for_all(std::size_t n, const std::function<void(std::size_t)>& work);

}  // namespace mquant
