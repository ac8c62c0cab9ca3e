// Attention of one block over one sample.
#include "nn/attention.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <type_traits>

#include "kernels/attention.h"
#include "mquant/error.h"
#include "nn/kv_cache.h"
#include "nn/patch_rows.h"
#include "nn/rope.h"
#include "nn/tensors.h"
#include "nn/token_order.h"

namespace mquant {
namespace {

/// Keys that each vision row sees: those of its own picture, extra rows (a class token) included.  A resampler has as
/// many queries for each picture, whatever its size.
std::vector<KeyRange> picture_ranges(const SampleState& sample, std::int64_t queries, std::int64_t keys) {
  const std::vector<Grid>& grids = sample.features->grids;
  std::int64_t patches = 0;
  for (const Grid& grid : grids) patches += grid.rows();
  const auto pictures = static_cast<std::int64_t>(grids.size());
  require(pictures > 0 && (keys - patches) % pictures == 0 && queries % (queries == keys ? 1 : pictures) == 0,
          queries, " queries and ", keys, " keys of ", patches, " patches");
  std::vector<KeyRange> ranges;
  ranges.reserve(static_cast<std::size_t>(queries));
  std::int64_t begin = 0;
  for (const Grid& grid : grids) {
    const std::int64_t count = grid.rows() + (keys - patches) / pictures;
    ranges.insert(ranges.end(), static_cast<std::size_t>(queries == keys ? count : queries / pictures),
                  KeyRange{begin, begin + count});
    begin += count;
  }
  return ranges;
}

/// Keys of a row's window: the run of rows that share it.
std::vector<KeyRange> window_ranges(const SampleState& sample, std::int64_t side) {
  const std::vector<std::int64_t> windows = windows_of_rows(sample, side);
  std::vector<KeyRange> ranges;
  for (std::size_t begin = 0, end = 0; begin < windows.size(); begin = end) {
    while (end < windows.size() && windows[end] == windows[begin]) ++end;
    ranges.insert(ranges.end(), end - begin,
                  KeyRange{static_cast<std::int64_t>(begin), static_cast<std::int64_t>(end)});
  }
  return ranges;
}

/// Original position of row i, tokens before this forward pass included.
std::int64_t position_of(const SampleState& sample, std::int64_t i) {
  return sample.past + (sample.order.empty() ? i : sample.order[static_cast<std::size_t>(i)]);
}

/// The end of the picture that each token belongs to, as an original position; 0 for text.
std::vector<std::int64_t> picture_ends(const SampleState& sample) {
  const std::vector<std::int64_t>& picture = sample.features->picture;
  std::vector<std::int64_t> ends(picture.size());
  for (std::size_t i = picture.size(); i-- > 0;) {
    if (picture[i] < 0) continue;
    const bool last = i + 1 == picture.size() || picture[i + 1] != picture[i];
    ends[i] = last ? static_cast<std::int64_t>(i) + 1 : ends[i + 1];
  }
  return ends;
}

std::vector<KeyRange> causal_ranges(const AttentionSpec& attention, const SampleState& sample,
                                    std::int64_t rows) {
  const bool pictures = attention.sees == Sees::causal_pictures;
  const std::vector<std::int64_t> ends = pictures ? picture_ends(sample) : std::vector<std::int64_t>();
  std::vector<KeyRange> ranges;
  for (std::int64_t i = 0; i < rows; ++i) {
    const std::int64_t position = position_of(sample, i);
    KeyInterval keys = causal_keys(position, attention.window);
    const auto at = static_cast<std::size_t>(position - sample.past);
    if (pictures && ends[at] > 0) keys.end = sample.past + ends[at];  // a window ends at the front only
    ranges.push_back({keys.begin, keys.end});
  }
  return ranges;
}

/// log(i) / log(trained) for tokens behind the trained length, i counting from 1.  Source: modeling_qwen.py of Qwen-VL.
at::Tensor with_logn(const at::Tensor& q, const AttentionSpec& attention, const SampleState& sample) {
  const std::int64_t trained = attention.logn_length;
  if (trained == 0) return q;
  at::Tensor factors = at::empty({q.size(0), 1}, at::kDouble);
  for (std::int64_t i = 0; i < q.size(0); ++i) {
    const std::int64_t n = position_of(sample, i) + 1;
    factors.data_ptr<double>()[i] =
        n > trained ? std::log(static_cast<double>(n)) / std::log(static_cast<double>(trained)) : 1.0;
  }
  return q * factors.to(q.scalar_type());
}

/// New rows to their original positions, in the cache if there is one.
std::pair<at::Tensor, at::Tensor> place_keys(SampleState& sample, const at::Tensor& k, const at::Tensor& v) {
  std::vector<std::int64_t> positions;
  for (std::int64_t i = 0; i < k.size(0); ++i) positions.push_back(position_of(sample, i));
  if (sample.cache != nullptr) {
    KvCache& cache = *sample.cache;
    require(sample.past == cache.length && cache.length + k.size(0) <= cache.keys.size(0), "a cache of ",
            cache.keys.size(0), " rows, ", cache.length, " in use, for ", k.size(0), " tokens at ",
            sample.past);
    place_in_cache(cache, positions, k, v);
    return {cache.keys.narrow(0, 0, cache.length), cache.values.narrow(0, 0, cache.length)};
  }
  if (sample.order.empty()) return {k, v};
  const at::Tensor index = index_tensor(positions);
  return {at::empty_like(k).index_copy_(0, index, k), at::empty_like(v).index_copy_(0, index, v)};
}

/// Key and value heads, and runs of rows that see about as many keys each: a whole multiple of `threads` parts, unless
/// the rows are too few to fill the kernel's batches.  The bits do not depend on the parts.
std::vector<AttentionPart> balanced_parts(const std::vector<KeyRange>& ranges, const AttentionSpec& a,
                                          std::int64_t threads) {
  constexpr std::int64_t kQueriesAPart = 32;
  const std::int64_t rows = std::ssize(ranges), group = a.heads / a.kv_heads;
  const std::int64_t wanted = threads / std::gcd(threads, a.kv_heads);
  const std::int64_t runs = std::clamp<std::int64_t>(rows * group / kQueriesAPart, 1, wanted);
  std::int64_t all = 0, seen = 0;
  for (const KeyRange& range : ranges) all += range.end - range.begin + 1;
  std::vector<AttentionPart> parts;
  for (std::int64_t row = 0, begin = 0, run = 1; row < rows; ++row) {
    const KeyRange& range = ranges[static_cast<std::size_t>(row)];
    seen += range.end - range.begin + 1;
    if (seen * runs < all * run) continue;
    for (std::int64_t head = 0; head < a.kv_heads; ++head) parts.push_back({head, head + 1, begin, row + 1});
    begin = row + 1;
    while (seen * runs >= all * run) ++run;
  }
  return parts;
}

/// @param cache  whose codes k and v are; null: they are numbers
template <class Real>
at::Tensor attended(const AttentionSpec& a, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                    const std::vector<KeyRange>& ranges, const KvCache* cache) {
  at::Tensor out = at::empty_like(q);
  const bool codes = cache != nullptr;
  const auto scales = [&](const std::vector<float> KvCache::* of) -> const Real* {
    if constexpr (std::is_same_v<Real, float>) return codes ? (cache->*of).data() : nullptr;
    require(!codes, "an int8 key-value cache of a float64 block");
    return nullptr;
  };
  const AttentionRows<Real> problem{.queries = q.data_ptr<Real>(),
                                    .keys = codes ? nullptr : k.data_ptr<Real>(),
                                    .values = codes ? nullptr : v.data_ptr<Real>(),
                                    .key_codes = codes ? k.data_ptr<std::int8_t>() : nullptr,
                                    .value_codes = codes ? v.data_ptr<std::int8_t>() : nullptr,
                                    .key_scales = scales(&KvCache::key_scales),
                                    .value_scales = scales(&KvCache::value_scales),
                                    .out = out.data_ptr<Real>(),
                                    .query_stride = q.size(1),
                                    .key_stride = k.size(1),
                                    .value_stride = v.size(1),
                                    .out_stride = q.size(1),
                                    .key_count = k.size(0),
                                    .heads = a.heads,
                                    .kv_heads = a.kv_heads,
                                    .head_dim = a.head_dim,
                                    .scale = static_cast<Real>(a.scale),
                                    .ranges = ranges};
  const std::vector<AttentionPart> parts = balanced_parts(ranges, a, at::get_num_threads());
  at::parallel_for(0, std::ssize(parts), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) attend_rows(problem, parts[static_cast<std::size_t>(i)]);
  });
  return out;
}

}  // namespace

std::vector<KeyRange> key_ranges(const AttentionSpec& attention, const SampleState& sample,
                                 std::int64_t queries, std::int64_t keys) {
  switch (attention.sees) {
    case Sees::picture: return picture_ranges(sample, queries, keys);
    case Sees::window: return window_ranges(sample, attention.window);
    case Sees::causal:
    case Sees::causal_pictures: break;
  }
  return causal_ranges(attention, sample, queries);
}

at::Tensor attend(const Block& block, SampleState& sample, const at::Tensor& q, const at::Tensor& k,
                  const at::Tensor& v) {
  const BlockSpec& spec = block.spec();
  const AttentionSpec& a = spec.attention;
  const std::shared_ptr<const RopeTable> rope = rope_table(block, sample, q.scalar_type());
  const at::Tensor queries = with_logn(apply_rope(q, rope.get(), a.rope, a.head_dim), a, sample).contiguous();
  const at::Tensor new_keys = apply_rope(k, rope.get(), a.rope, a.head_dim);
  const auto [keys, values] =
      spec.on_tokens ? place_keys(sample, new_keys, v) : std::pair{new_keys.contiguous(), v.contiguous()};
  const std::vector<KeyRange> ranges = key_ranges(a, sample, q.size(0), k.size(0));
  const KvCache* codes = sample.cache != nullptr && sample.cache->is_int8() ? sample.cache : nullptr;
  return q.scalar_type() == at::kDouble ? attended<double>(a, queries, keys, values, ranges, codes)
                                        : attended<float>(a, queries, keys, values, ranges, codes);
}

at::Tensor rotated_keys(const Block& block, SampleState& sample, const at::Tensor& k) {
  const AttentionSpec& a = block.spec().attention;
  return apply_rope(k, rope_table(block, sample, k.scalar_type()).get(), a.rope, a.head_dim);
}

}  // namespace mquant
