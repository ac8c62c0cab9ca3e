// The key-value cache of a block: float32, or int8 codes with static scales (WKVQuant, arXiv 2402.12065, with its scales
// found by calibration).  A token becomes codes once, when it is placed; all later tokens see the same numbers.
#include "nn/kv_cache.h"

#include <ATen/ops/empty.h>

#include "kernels/quantize_rows.h"
#include "mquant/error.h"
#include "nn/tensors.h"

namespace mquant {
namespace {

/// A scale for each channel, from one for each channel or one for each head.
std::vector<float> channel_scales(const std::vector<float>& scales, std::int64_t kv_heads,
                                  std::int64_t head_dim) {
  const std::int64_t channels = kv_heads * head_dim;
  require(std::ssize(scales) == kv_heads || std::ssize(scales) == channels, scales.size(),
          " scales of a cache of ", kv_heads, " heads of ", head_dim);
  std::vector<float> out;
  const std::int64_t repeat = channels / std::ssize(scales);
  for (const float scale : scales) out.insert(out.end(), static_cast<std::size_t>(repeat), scale);
  return out;
}

void place(at::Tensor& cache, const std::vector<float>& scales, const std::vector<std::int64_t>& positions,
           const at::Tensor& rows) {
  if (scales.empty()) {
    cache.index_copy_(0, index_tensor(positions), rows);
    return;
  }
  const at::Tensor x = rows.contiguous();
  const std::int64_t width = x.size(1);
  require(std::ssize(scales) == width, "rows of ", width, " for a cache of ", scales.size());
  for (std::size_t i = 0; i < positions.size(); ++i)
    quantize_by_column(x.data_ptr<float>() + static_cast<std::int64_t>(i) * width, scales,
                       cache.data_ptr<std::int8_t>() + positions[i] * width);
}

}  // namespace

KvCache make_kv_cache(const BlockSpec& spec, const std::optional<KvScales>& scales, std::int64_t capacity) {
  const AttentionSpec& a = spec.attention;
  const std::int64_t width = a.kv_heads * a.head_dim;
  KvCache cache;
  if (scales) {
    require(scales->kv_heads == a.kv_heads && scales->head_dim == a.head_dim, "scales of a cache of ",
            scales->kv_heads, " heads of ", scales->head_dim, " for '", spec.name, "'");
    cache.key_scales = channel_scales(scales->keys, a.kv_heads, a.head_dim);
    cache.value_scales = channel_scales(scales->values, a.kv_heads, a.head_dim);
  }
  const at::ScalarType type = scales ? at::kChar : at::kFloat;
  cache.keys = at::empty({capacity, width}, type);
  cache.values = at::empty({capacity, width}, type);
  return cache;
}

void place_in_cache(KvCache& cache, const std::vector<std::int64_t>& positions, const at::Tensor& keys,
                    const at::Tensor& values) {
  place(cache.keys, cache.key_scales, positions, keys);
  place(cache.values, cache.value_scales, positions, values);
  cache.length += std::ssize(positions);
}

}  // namespace mquant
