// Attention of one block over one sample, with or without a cache.
#pragma once

#include <vector>

#include "kernels/attention.h"
#include "mquant/block.h"

namespace mquant {

/// q [rows, heads * dim], k and v [rows, kv_heads * dim] (of vision rows q may have other rows than k), before the rotary embedding; returns [rows, heads * dim].
/// Keys and values are put at their original positions first, so a row sees an interval of them whatever the order of
/// the rows is: allowed(i, j) = order(j) <= order(i) needs no mask (AIFS; MQuant, section 3.1).
at::Tensor attend(const Block& block, SampleState& sample, const at::Tensor& q, const at::Tensor& k,
                  const at::Tensor& v);

/// k [rows, kv_heads * dim] behind the rotary embedding, which is how a cache holds keys; rows in their order of now.
at::Tensor rotated_keys(const Block& block, SampleState& sample, const at::Tensor& k);

/// The keys that each of `queries` rows sees: of vision rows as they lie, of tokens by original position.
/// @param keys  of this forward pass
std::vector<KeyRange> key_ranges(const AttentionSpec& attention, const SampleState& sample,
                                 std::int64_t queries, std::int64_t keys);

}  // namespace mquant
