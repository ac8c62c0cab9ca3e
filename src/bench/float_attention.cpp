#include "bench/float_attention.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>

#include "nn/attention.h"

namespace mquant {
namespace {

/// One sequence of `state`'s, as far as key_ranges reads it.
std::vector<KeyRange> ranges_of_one(const AttentionSpec& spec, const SampleState& state,
                                    std::int64_t tokens) {
  Features one;
  const std::vector<std::int64_t>& picture = state.features->picture;
  one.picture.assign(picture.begin(), picture.begin() + tokens);
  SampleState sample;
  sample.features = &one;
  sample.past = state.past;
  return key_ranges(spec, sample, tokens, tokens);
}

bool sees_all_before(const std::vector<KeyRange>& ranges) {
  for (std::size_t i = 0; i < ranges.size(); ++i)
    if (ranges[i].begin != 0 || ranges[i].end != static_cast<std::int64_t>(i) + 1) return false;
  return true;
}

at::Tensor mask_of(const std::vector<KeyRange>& ranges) {
  const auto tokens = static_cast<std::int64_t>(ranges.size());
  at::Tensor mask = at::zeros({tokens, tokens}, at::kBool);
  for (std::int64_t i = 0; i < tokens; ++i) {
    const KeyRange& keys = ranges[static_cast<std::size_t>(i)];
    mask.select(0, i).narrow(0, keys.begin, keys.end - keys.begin).fill_(true);
  }
  return mask;
}

/// Factor of each row's query for prompts behind the trained length, as nn's attention has it.
at::Tensor logn_factors(std::int64_t trained, std::int64_t past, std::int64_t batch, std::int64_t tokens) {
  at::Tensor factors = at::ones({batch * tokens, 1}, at::kFloat);
  for (std::int64_t i = 0; i < batch * tokens; ++i) {
    const std::int64_t n = past + i % tokens + 1;
    if (n > trained)
      factors.data_ptr<float>()[i] =
          static_cast<float>(std::log(static_cast<double>(n)) / std::log(static_cast<double>(trained)));
  }
  return factors;
}

/// q [segments, n, heads * dim], k and v [segments, m, kv_heads * dim]; returns [segments * n, heads * dim].
at::Tensor attended(const AttentionSpec& spec, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                    const at::Tensor& mask, bool causal) {
  const auto heads = [&](const at::Tensor& x, std::int64_t count) {
    return x.unflatten(2, {count, spec.head_dim}).transpose(1, 2);
  };
  std::optional<at::Tensor> allowed;
  if (mask.defined()) allowed = mask;
  return at::scaled_dot_product_attention(heads(q, spec.heads), heads(k, spec.kv_heads),
                                          heads(v, spec.kv_heads), allowed, 0.0, causal, spec.scale,
                                          spec.heads != spec.kv_heads)
      .transpose(1, 2)
      .reshape({-1, spec.heads * spec.head_dim});
}

}  // namespace

FloatAttention::FloatAttention(const Block& block, const SampleState& state, std::int64_t batch,
                               at::ScalarType dtype)
    : spec_(block.spec().attention), on_tokens_(block.spec().on_tokens), batch_(batch) {
  if (spec_.heads == 0) return;
  SampleState copy = state;  // which may keep the table; tensors are shared
  if (const auto table = rope_table(block, copy, at::kFloat)) {
    rope_ = *table;
    rope_.cos = table->cos.to(dtype);
    rope_.sin = table->sin.to(dtype);
  }
  if (!on_tokens_) return;
  const auto tokens = static_cast<std::int64_t>(state.features->input_ids.size()) / batch;
  if (spec_.logn_length > 0) logn_ = logn_factors(spec_.logn_length, state.past, batch, tokens).to(dtype);
  if (state.past > 0) return;  // decoding: one row sees the cache, or the end of it
  const std::vector<KeyRange> ranges = ranges_of_one(spec_, state, tokens);
  causal_ = sees_all_before(ranges);
  if (!causal_) mask_ = mask_of(ranges);
}

at::Tensor FloatAttention::run(const SampleState& state, const at::Tensor& q, const at::Tensor& k,
                               const at::Tensor& v, FloatCache* cache) const {
  at::Tensor queries = apply_rope(q, rope_.cos.defined() ? &rope_ : nullptr, spec_.rope, spec_.head_dim);
  if (logn_.defined()) queries = queries * logn_;
  const at::Tensor keys = apply_rope(k, rope_.cos.defined() ? &rope_ : nullptr, spec_.rope, spec_.head_dim);
  return on_tokens_ ? of_tokens(state.past, queries, keys, v, cache) : of_vision(state, queries, keys, v);
}

at::Tensor FloatAttention::of_vision(const SampleState& state, const at::Tensor& q, const at::Tensor& k,
                                     const at::Tensor& v) const {
  const std::vector<KeyRange> ranges = key_ranges(spec_, state, q.size(0), k.size(0));
  const auto same = [&](std::size_t i, std::size_t j) {
    return ranges[i].begin == ranges[j].begin && ranges[i].end == ranges[j].end;
  };
  std::vector<at::Tensor> parts;
  for (std::size_t first = 0, next = 0; first < ranges.size(); first = next) {
    std::size_t count = 0;  // queries that see one interval of keys: a picture or a window
    while (first + count < ranges.size() && same(first, first + count)) ++count;
    const std::int64_t begin = ranges[first].begin, keys = ranges[first].end - begin;
    // Neighbours of the same size go into one call.
    std::int64_t segments = 0;
    for (next = first; next + count <= ranges.size(); next += count, ++segments) {
      const bool fits = ranges[next].begin == begin + segments * keys && same(next, next + count - 1) &&
                        ranges[next].end - ranges[next].begin == keys &&
                        (next + count == ranges.size() || !same(next, next + count));
      if (!fits) break;
    }
    const auto rows = static_cast<std::int64_t>(count);
    const auto of = [&](const at::Tensor& x, std::int64_t from, std::int64_t size) {
      return x.narrow(0, from, segments * size).view({segments, size, x.size(1)});
    };
    parts.push_back(attended(spec_, of(q, static_cast<std::int64_t>(first), rows), of(k, begin, keys),
                             of(v, begin, keys), {}, false));
  }
  return parts.size() == 1 ? parts.front() : at::cat(parts);
}

at::Tensor FloatAttention::of_tokens(std::int64_t past, const at::Tensor& q, const at::Tensor& k,
                                     const at::Tensor& v, FloatCache* cache) const {
  const auto sequences = [&](const at::Tensor& x) { return x.view({batch_, -1, x.size(1)}); };
  at::Tensor keys = sequences(k), values = sequences(v);
  const std::int64_t tokens = keys.size(1);
  if (cache != nullptr) {
    cache->keys.narrow(1, past, tokens).copy_(keys);
    cache->values.narrow(1, past, tokens).copy_(values);
  }
  if (past > 0) {
    const std::int64_t length = past + tokens;
    const std::int64_t seen = spec_.window > 0 ? std::min(spec_.window, length) : length;
    keys = cache->keys.narrow(1, length - seen, seen);
    values = cache->values.narrow(1, length - seen, seen);
  }
  return attended(spec_, sequences(q), keys, values, mask_, causal_);
}

}  // namespace mquant
