// Queries are taken a few at a time: scores for all their keys, softmax, then values; keys and values go through small
// contiguous tiles that those queries share.
#include "kernels/attention.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "kernels/attention_products.h"
#include "kernels/attention_tiles.h"
#include "kernels/cpu.h"
#include "kernels/exp.h"
#include "kernels/multiply_add.h"
#include "kernels/vector.h"
#include "mquant/error.h"

namespace mquant {
namespace {

constexpr std::int64_t kMostQueries = 32;  // that share the tiles
constexpr std::int64_t kMostScores = std::int64_t{1} << 19;

/// One query: a row in one head.  It sees at least one key.
template <class T>
struct Query {
  const T* in = nullptr;
  T* out = nullptr;
  KeyRange range;
};

/// Lane l of the sum takes the products at d = l, l + 8, ...; then halves are added to halves.
template <class T>
[[gnu::always_inline]] inline T sum_of_lanes(const Vector<T>* sums) {
  T lane[kLanes];
  for (int v = 0; v < kLanes / VectorOf<T>::lanes; ++v) store(lane + v * VectorOf<T>::lanes, sums[v]);
  return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

/// The largest value, past any NaN: a NaN makes the sum of the weights one anyway.
template <class T>
[[gnu::always_inline]] inline T maximum(const T* x, std::int64_t n) {
  constexpr int kStep = VectorOf<T>::lanes;
  T most = x[0];
  std::int64_t j = 0;
  if (n >= kStep) {
    Vector<T> lanes = load(x);
    for (j = kStep; j + kStep <= n; j += kStep) {
      const Vector<T> next = load(x + j);
      lanes = next > lanes ? next : lanes;
    }
    T lane[kStep];
    store(lane, lanes);
    for (const T value : lane) most = value > most ? value : most;
  }
  for (; j < n; ++j) most = x[j] > most ? x[j] : most;
  return most;
}

/// exp(score - max) in place over one interval; returns the sum, in kLanes lanes from the interval's begin.
template <class Math, class T>
[[gnu::always_inline]] inline T softmax_weights(T* scores, std::int64_t count) {
  constexpr int kStep = VectorOf<T>::lanes, kParts = static_cast<int>(kLanes) / kStep;
  const std::int64_t whole = count / kLanes * kLanes;
  const T most = maximum(scores, count);
  Vector<T> sum[kParts] = {};
  const auto add_eight = [&](T* eight) __attribute__((always_inline)) {
    for (int v = 0; v < kParts; ++v) {
      const Vector<T> weight = exp_of_nonpositive<Math>(load(eight + v * kStep) - most);
      store<T>(eight + v * kStep, weight);
      sum[v] += weight;
    }
  };
  for (std::int64_t j = 0; j < whole; j += kLanes) add_eight(scores + j);
  T rest[kLanes];
  std::fill_n(rest, kLanes, std::numeric_limits<T>::lowest());  // becomes 0
  std::copy(scores + whole, scores + count, rest);
  add_eight(rest);
  std::copy_n(rest, count - whole, scores + whole);
  return sum_of_lanes<T>(sum);
}

KeyRange cut(const KeyRange& a, const KeyRange& b) {
  const std::int64_t begin = std::max(a.begin, b.begin);
  return {begin, std::max(begin, std::min(a.end, b.end))};
}

template <class T>
HeadRows<T> keys_of(const AttentionRows<T>& p, std::int64_t kv_head) {
  const std::int64_t at = kv_head * p.head_dim;
  if (p.key_codes != nullptr) return {nullptr, p.key_codes + at, p.key_scales + at, p.key_stride};
  return {p.keys + at, nullptr, nullptr, p.key_stride};
}

template <class T>
HeadRows<T> values_of(const AttentionRows<T>& p, std::int64_t kv_head) {
  const std::int64_t at = kv_head * p.head_dim;
  if (p.value_codes != nullptr) return {nullptr, p.value_codes + at, p.value_scales + at, p.value_stride};
  return {p.values + at, nullptr, nullptr, p.value_stride};
}

/// Scratch of one part.
template <class T>
struct Work {
  const AttentionProducts<T>* products = nullptr;
  std::int64_t head_dim = 0, dim = 0;  // dim: padded
  HeadTiles<T> tiles;
  std::vector<T> queries, sums, scores;
  std::int64_t first_key = 0, score_stride = 0;  // scores[query][key - first_key]

  T* score(std::int64_t query, std::int64_t key) {
    return scores.data() + query * score_stride + key - first_key;
  }
};

template <class T>
[[gnu::always_inline]] inline void score_tile(Work<T>& work, std::span<const Query<T>> queries,
                                              const KeyRange& tile, const T* columns, T scale) {
  const std::int64_t n = std::ssize(queries);
  for (std::int64_t i = 0; i < n; i += kTogether) {
    const std::int64_t count = std::min(kTogether, n - i);
    KeyRange all = {tile.end, tile.begin};
    for (std::int64_t x = i; x < i + count; ++x) {
      const KeyRange own = cut(queries[static_cast<std::size_t>(x)].range, tile);
      if (own.begin == own.end) continue;
      all = {std::min(all.begin, own.begin), std::max(all.end, own.end)};
    }
    if (all.begin >= all.end) continue;
    // Whole steps: a key too many, in front or behind, costs little, and nobody reads its score.
    const std::int64_t begin = (all.begin - tile.begin) / kKeyStep * kKeyStep;
    const std::int64_t keys = (all.end - tile.begin - begin + kKeyStep - 1) / kKeyStep * kKeyStep;
    work.products->scores[count]({.queries = work.queries.data() + i * work.head_dim,
                                  .columns = columns + begin,
                                  .dim = work.head_dim,
                                  .keys = keys,
                                  .scale = scale,
                                  .scores = work.score(i, tile.begin + begin),
                                  .stride = work.score_stride});
  }
}

/// `rows` are those of the tile, `keys` some of them.
template <class T>
[[gnu::always_inline]] inline void add_values(Work<T>& work, std::int64_t query, std::int64_t count,
                                              const T* rows, std::int64_t tile_begin, const KeyRange& keys) {
  if (keys.begin >= keys.end) return;
  const AttentionProducts<T>& products = *work.products;
  for (std::int64_t d = 0; d < work.dim;) {
    const std::int64_t left = (work.dim - d) / products.lanes;
    // Three at a time, but no one alone, which would load more than it computes.
    const std::int64_t vectors = left == 4 ? 2 : std::min<std::int64_t>(left, products.kMostVectors);
    products.values[count][vectors]({.weights = work.score(query, keys.begin),
                                     .stride = work.score_stride,
                                     .rows = rows + (keys.begin - tile_begin) * work.dim + d,
                                     .keys = keys.end - keys.begin,
                                     .dim = work.dim,
                                     .sums = work.sums.data() + query * work.dim + d});
    d += vectors * products.lanes;
  }
}

template <class T>
[[gnu::always_inline]] inline void value_tile(Work<T>& work, std::span<const Query<T>> queries,
                                              const KeyRange& tile, const T* rows) {
  const std::int64_t n = std::ssize(queries);
  for (std::int64_t i = 0; i < n; i += kTogether) {
    const std::int64_t count = std::min(kTogether, n - i);
    const auto own = [&](std::int64_t x) { return cut(queries[static_cast<std::size_t>(x)].range, tile); };
    KeyRange common = tile;
    for (std::int64_t x = i; x < i + count; ++x) common = cut(common, own(x));
    // Each query's own keys before the common ones, the common ones, its own after: in order for each of them.
    const bool together = common.begin < common.end;
    for (std::int64_t x = i; x < i + count; ++x)
      add_values(work, x, 1, rows, tile.begin, {own(x).begin, together ? common.begin : own(x).end});
    if (!together) continue;
    add_values(work, i, count, rows, tile.begin, common);
    for (std::int64_t x = i; x < i + count; ++x)
      add_values(work, x, 1, rows, tile.begin, {common.end, own(x).end});
  }
}

/// Queries that read the same key and value head; `seen` covers all of their intervals.
template <class Math, class T>
[[gnu::always_inline]] inline void attend_queries(const AttentionRows<T>& p, std::int64_t kv_head,
                                                  std::span<const Query<T>> queries, const KeyRange& seen,
                                                  Work<T>& work) {
  const std::int64_t n = std::ssize(queries), dim = work.dim, head_dim = p.head_dim;
  std::fill(work.sums.begin(), work.sums.end(), T{0});
  for (std::int64_t x = 0; x < n; ++x)
    std::copy_n(queries[static_cast<std::size_t>(x)].in, head_dim, work.queries.data() + x * head_dim);
  work.first_key = seen.begin / kTile * kTile;
  work.score_stride = (seen.end - work.first_key + kTile - 1) / kTile * kTile;
  work.scores.resize(static_cast<std::size_t>(n * work.score_stride));
  for (std::int64_t at = work.first_key; at < seen.end; at += kTile) {
    const KeyRange tile = {at, std::min(at + kTile, seen.end)};
    score_tile(work, queries, tile, work.tiles.columns(keys_of(p, kv_head), tile), p.scale);
  }
  T total[kMostQueries] = {};
  for (std::int64_t x = 0; x < n; ++x) {
    const KeyRange& range = queries[static_cast<std::size_t>(x)].range;
    total[x] = softmax_weights<Math>(work.score(x, range.begin), range.end - range.begin);
  }
  for (std::int64_t at = work.first_key; at < seen.end; at += kTile) {
    const KeyRange tile = {at, std::min(at + kTile, seen.end)};
    value_tile(work, queries, tile, work.tiles.rows(values_of(p, kv_head), tile));
  }
  for (std::int64_t x = 0; x < n; ++x) {
    T* out = queries[static_cast<std::size_t>(x)].out;
    for (std::int64_t d = 0; d < head_dim; ++d)
      out[d] = work.sums[static_cast<std::size_t>(x * dim + d)] / total[x];
  }
}

/// Keys that the rows of a part see, and those between.
template <class T>
KeyRange seen_by(const AttentionRows<T>& p, const AttentionPart& part) {
  KeyRange seen = {p.key_count, 0};
  for (const KeyRange& range : p.ranges.subspan(static_cast<std::size_t>(part.row_begin),
                                                static_cast<std::size_t>(part.row_end - part.row_begin)))
    if (range.begin < range.end) seen = {std::min(seen.begin, range.begin), std::max(seen.end, range.end)};
  return {std::min(seen.begin, seen.end), seen.end};
}

/// Rows in order, the heads of the group for each row; a batch ends when its scores would take too much room.
template <class Math, class T>
[[gnu::always_inline]] inline void attend_part(const AttentionRows<T>& p, const AttentionPart& part) {
  const std::int64_t group = p.heads / p.kv_heads, dim = padded_dim(p.head_dim);
  Work<T> work{&attention_products<T>(cpu_level()), p.head_dim, dim, HeadTiles<T>(p.head_dim), {}, {}, {}};
  work.queries.resize(static_cast<std::size_t>(kMostQueries * p.head_dim));
  work.sums.resize(static_cast<std::size_t>(kMostQueries * dim));
  std::vector<Query<T>> batch;
  for (std::int64_t kv = part.kv_head_begin; kv < part.kv_head_end; ++kv) {
    batch.clear();
    KeyRange seen;
    const std::int64_t end = part.row_end * group;
    if (end - part.row_begin * group > kMostQueries)
      work.tiles.pack(keys_of(p, kv), values_of(p, kv), seen_by(p, part));
    for (std::int64_t i = part.row_begin * group; i < end; ++i) {
      const std::int64_t row = i / group, head = kv * group + i % group;
      const KeyRange range = p.ranges[static_cast<std::size_t>(row)];
      T* out = p.out + row * p.out_stride + head * p.head_dim;
      if (range.begin == range.end) {
        std::fill_n(out, p.head_dim, T{0});
        continue;
      }
      KeyRange both =
          batch.empty() ? range : KeyRange{std::min(seen.begin, range.begin), std::max(seen.end, range.end)};
      const bool full = std::ssize(batch) == kMostQueries ||
                        (!batch.empty() && (std::ssize(batch) + 1) * (both.end - both.begin) > kMostScores);
      if (full) {
        attend_queries<Math, T>(p, kv, batch, seen, work);
        batch.clear();
        both = range;
      }
      seen = both;
      batch.push_back({p.queries + row * p.query_stride + head * p.head_dim, out, range});
    }
    if (!batch.empty()) attend_queries<Math, T>(p, kv, batch, seen, work);
  }
}

void attend_portable(const AttentionRows<float>& p, const AttentionPart& part) {
  attend_part<FusedMath>(p, part);
}
void attend_portable(const AttentionRows<double>& p, const AttentionPart& part) {
  attend_part<SeparateMath<double>>(p, part);
}

#if defined(__x86_64__)
[[gnu::target("avx2,fma")]] void attend_avx2(const AttentionRows<float>& p, const AttentionPart& part) {
  attend_part<FusedMathOfX86<32>>(p, part);
}
[[gnu::target("avx2,fma")]] void attend_avx2(const AttentionRows<double>& p, const AttentionPart& part) {
  attend_part<SeparateMath<double>>(p, part);
}
#endif

template <class T>
void attend(const AttentionRows<T>& p, const AttentionPart& part) {
  const std::int64_t rows = std::ssize(p.ranges);
  require(p.kv_heads > 0 && p.heads % p.kv_heads == 0 && p.head_dim > 0, "attention of ", p.heads,
          " heads over ", p.kv_heads, " of ", p.head_dim);
  require((p.key_codes == nullptr) == (p.value_codes == nullptr) &&
              (p.key_codes == nullptr) == (p.key_scales == nullptr) &&
              (p.key_codes == nullptr) == (p.value_scales == nullptr),
          "attention: codes or scales of keys or values are missing");
  require(0 <= part.kv_head_begin && part.kv_head_end <= p.kv_heads && 0 <= part.row_begin &&
              part.row_end <= rows,
          "attention: a part beyond ", p.kv_heads, " heads or ", rows, " rows");
  for (std::int64_t row = part.row_begin; row < part.row_end; ++row) {
    const KeyRange& range = p.ranges[static_cast<std::size_t>(row)];
    require(range.begin >= 0 && range.begin <= range.end && range.end <= p.key_count, "attention: row ", row,
            " sees keys [", range.begin, ", ", range.end, ") of ", p.key_count);
  }
#if defined(__x86_64__)
  if (cpu_level() >= CpuLevel::avx2) return attend_avx2(p, part);
#endif
  attend_portable(p, part);
}

}  // namespace

void attend_rows(const AttentionRows<float>& problem, const AttentionPart& part) { attend(problem, part); }
void attend_rows(const AttentionRows<double>& problem, const AttentionPart& part) { attend(problem, part); }

}  // namespace mquant
