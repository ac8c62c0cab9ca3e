// Keys and values of one head as tiles of keys: contiguous, keys turned into columns.  Part of attention.cpp.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/attention.h"
#include "kernels/attention_products.h"
#include "kernels/vector.h"

namespace mquant {

inline constexpr std::int64_t kLanes = 8;  // keys are turned into columns by eights

inline std::int64_t padded_dim(std::int64_t head_dim) {
  return (head_dim + kDimStep - 1) / kDimStep * kDimStep;
}

/// Eight vectors of eight: rows become columns.
[[gnu::always_inline]] inline void transpose(Vector<float>* v) {
  Vector<float> a[8], b[8];
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    a[i] = __builtin_shufflevector(v[i], v[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    a[i + 1] = __builtin_shufflevector(v[i], v[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const int from = i / 2 * 4 + i % 2;
    b[2 * i] = __builtin_shufflevector(a[from], a[from + 2], 0, 1, 8, 9, 4, 5, 12, 13);
    b[2 * i + 1] = __builtin_shufflevector(a[from], a[from + 2], 2, 3, 10, 11, 6, 7, 14, 15);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    v[i] = __builtin_shufflevector(b[i], b[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    v[i + 4] = __builtin_shufflevector(b[i], b[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
  }
}

/// The keys, or the values, of one head: numbers, or codes and the scale of each column.
template <class T>
struct HeadRows {
  const T* numbers = nullptr;
  const std::int8_t* codes = nullptr;
  const T* scales = nullptr;
  std::int64_t stride = 0;
};

/// Tiles begin at whole multiples of kTile keys.  They are made one at a time, in the first cache; or, for several batches
/// of queries, all at once and side by side: rows of one head lie far apart, a page each.
template <class T>
class HeadTiles {
 public:
  explicit HeadTiles(std::int64_t head_dim)
      : head_dim_(head_dim),
        dim_(padded_dim(head_dim)),
        tile_(static_cast<std::size_t>(kTile * dim_)),
        few_(static_cast<std::size_t>(kLanes * dim_)) {}

  /// Makes the tiles of all keys in `seen`.
  [[gnu::always_inline]] inline void pack(const HeadRows<T>& keys, const HeadRows<T>& values,
                                          const KeyRange& seen) {
    packed_from_ = seen.begin / kTile * kTile;
    const std::int64_t tiles = (seen.end - packed_from_ + kTile - 1) / kTile;
    const auto size = static_cast<std::size_t>(tiles * kTile * dim_);
    packed_columns_.resize(size);
    packed_rows_.resize(size);
    for (std::int64_t at = packed_from_; at < seen.end; at += kTile) {
      const KeyRange all = {at, std::min(at + kTile, seen.end)};
      fill_columns(keys, all, packed_columns_.data() + (at - packed_from_) * dim_);
      fill_rows(values, all, packed_rows_.data() + (at - packed_from_) * dim_);
    }
  }
  /// Keys of a tile as columns, [dim, kTile]; what is behind the last key means nothing.
  [[gnu::always_inline]] inline const T* columns(const HeadRows<T>& keys, const KeyRange& all) {
    if (!packed_columns_.empty()) return packed_columns_.data() + (all.begin - packed_from_) * dim_;
    fill_columns(keys, all, tile_.data());
    return tile_.data();
  }
  /// Values of a tile, [keys, dim].
  [[gnu::always_inline]] inline const T* rows(const HeadRows<T>& values, const KeyRange& all) {
    if (!packed_rows_.empty()) return packed_rows_.data() + (all.begin - packed_from_) * dim_;
    fill_rows(values, all, tile_.data());
    return tile_.data();
  }

 private:
  /// Row j of the head, as numbers; head_dim_ values.
  [[gnu::always_inline]] inline void copy_row(const HeadRows<T>& rows, std::int64_t j, T* to) {
    if (rows.codes == nullptr) {
      std::copy_n(rows.numbers + j * rows.stride, head_dim_, to);
      return;
    }
    const std::int8_t* codes = rows.codes + j * rows.stride;
    for (std::int64_t d = 0; d < head_dim_; ++d) to[d] = static_cast<T>(codes[d]) * rows.scales[d];
  }

  [[gnu::always_inline]] inline void fill_rows(const HeadRows<T>& rows, const KeyRange& keys, T* to) {
    for (std::int64_t j = keys.begin; j < keys.end; ++j) copy_row(rows, j, to + (j - keys.begin) * dim_);
  }
  [[gnu::always_inline]] inline void fill_columns(const HeadRows<T>& rows, const KeyRange& keys, T* to) {
    for (std::int64_t j = keys.begin; j < keys.end; j += kLanes) {
      const std::int64_t count = std::min(kLanes, keys.end - j);
      for (std::int64_t y = 0; y < count; ++y) copy_row(rows, j + y, few_.data() + y * dim_);
      for (std::int64_t d = 0; d < dim_; d += kLanes)
        turn_block(few_.data() + d, to + (j - keys.begin) + d * kTile);
    }
  }
  [[gnu::always_inline]] inline void turn_block(const T* from, T* to) const {
    if constexpr (VectorOf<T>::lanes == 8) {
      Vector<T> v[8];
#pragma GCC unroll 8
      for (int y = 0; y < 8; ++y) v[y] = load(from + y * dim_);
      transpose(v);
#pragma GCC unroll 8
      for (int d = 0; d < 8; ++d) store(to + d * kTile, v[d]);
    } else {
      for (std::int64_t d = 0; d < kLanes; ++d)
        for (std::int64_t y = 0; y < kLanes; ++y) to[d * kTile + y] = from[y * dim_ + d];
    }
  }

  std::int64_t head_dim_, dim_;  // dim: padded, with anything in a tile of rows, with zeros in columns
  std::vector<T> tile_, few_;    // few: [kLanes, dim], on the way into a tile of columns
  std::vector<T> packed_columns_, packed_rows_;  // all tiles of a head, or empty
  std::int64_t packed_from_ = 0;
};

}  // namespace mquant
