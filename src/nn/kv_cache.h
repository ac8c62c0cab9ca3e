// Putting keys and values into a cache.
#pragma once

#include <cstdint>
#include <vector>

#include "mquant/block.h"

namespace mquant {

/// Keys and values [rows, kv_heads * head_dim], contiguous or not, to rows `positions` of the cache, as codes if it
/// holds codes; it is that much longer then.
/// @throws Error{input} naming the column of a NaN or infinity that is to become a code
void place_in_cache(KvCache& cache, const std::vector<std::int64_t>& positions, const at::Tensor& keys,
                    const at::Tensor& values);

}  // namespace mquant
