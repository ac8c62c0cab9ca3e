// Attention of one block over one sample.
#include "nn/attention.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include "kernels/attention.h"
#include "mquant/error.h"
#include "nn/rope.h"
#include "nn/tensors.h"
#include "nn/token_order.h"

namespace mquant {
namespace {

/// Keys that each row of vision tokens sees: those of its own picture, extra rows (a class token) included.
std::vector<KeyRange> picture_ranges(const SampleState& sample, std::int64_t rows) {
  const std::vector<Grid>& grids = sample.features->grids;
  std::int64_t patches = 0;
  for (const Grid& grid : grids) patches += grid.rows();
  const auto pictures = static_cast<std::int64_t>(grids.size());
  require(pictures > 0 && (rows - patches) % pictures == 0, rows, " rows for ", patches, " patches");
  std::vector<KeyRange> ranges;
  ranges.reserve(static_cast<std::size_t>(rows));
  std::int64_t begin = 0;
  for (const Grid& grid : grids) {
    const std::int64_t count = grid.rows() + (rows - patches) / pictures;
    ranges.insert(ranges.end(), static_cast<std::size_t>(count), KeyRange{begin, begin + count});
    begin += count;
  }
  return ranges;
}

/// Original position of row i, tokens before this forward pass included.
std::int64_t position_of(const SampleState& sample, std::int64_t i) {
  return sample.past + (sample.order.empty() ? i : sample.order[static_cast<std::size_t>(i)]);
}

std::vector<KeyRange> causal_ranges(const AttentionSpec& attention, const SampleState& sample,
                                    std::int64_t rows) {
  std::vector<KeyRange> ranges;
  for (std::int64_t i = 0; i < rows; ++i) {
    const KeyInterval keys = causal_keys(position_of(sample, i), attention.window);
    ranges.push_back({keys.begin, keys.end});
  }
  return ranges;
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
    cache.keys.index_copy_(0, index_tensor(positions), k);
    cache.values.index_copy_(0, index_tensor(positions), v);
    cache.length += k.size(0);
    return {cache.keys.narrow(0, 0, cache.length), cache.values.narrow(0, 0, cache.length)};
  }
  if (sample.order.empty()) return {k, v};
  const at::Tensor index = index_tensor(positions);
  return {at::empty_like(k).index_copy_(0, index, k), at::empty_like(v).index_copy_(0, index, v)};
}

template <class Real>
at::Tensor attended(const AttentionSpec& a, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                    const std::vector<KeyRange>& ranges) {
  at::Tensor out = at::empty_like(q);
  const AttentionRows<Real> problem{.queries = q.data_ptr<Real>(),
                                    .keys = k.data_ptr<Real>(),
                                    .values = v.data_ptr<Real>(),
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
  at::parallel_for(0, a.kv_heads, 1, [&](std::int64_t begin, std::int64_t end) {
    attend_rows(problem, {begin, end, 0, q.size(0)});
  });
  return out;
}

}  // namespace

at::Tensor attend(const BlockSpec& spec, SampleState& sample, const at::Tensor& q, const at::Tensor& k,
                  const at::Tensor& v) {
  const AttentionSpec& a = spec.attention;
  const RopeTable rope = rope_table(a.rope, spec.on_tokens, sample, q.scalar_type());
  const at::Tensor queries = apply_rope(q, rope, a.rope, a.head_dim).contiguous();
  const at::Tensor new_keys = apply_rope(k, rope, a.rope, a.head_dim);
  const auto [keys, values] =
      spec.on_tokens ? place_keys(sample, new_keys, v) : std::pair{new_keys.contiguous(), v.contiguous()};
  const std::vector<KeyRange> ranges =
      a.sees == Sees::picture ? picture_ranges(sample, q.size(0)) : causal_ranges(a, sample, q.size(0));
  return q.scalar_type() == at::kDouble ? attended<double>(a, queries, keys, values, ranges)
                                        : attended<float>(a, queries, keys, values, ranges);
}

}  // namespace mquant
