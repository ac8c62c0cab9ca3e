// The two products of attention on one tile of keys, where its time goes.  Part of attention.cpp.
#pragma once

#include <cstdint>

#include "kernels/cpu.h"

namespace mquant {

inline constexpr std::int64_t kTile = 64;     // keys in a tile
inline constexpr std::int64_t kDimStep = 16;  // dimensions of a head are padded to whole multiples
inline constexpr std::int64_t kKeyStep = 32;  // scores come by so many keys
inline constexpr std::int64_t kTogether = 4;  // queries that share what is loaded, at most

/// scores[x, j] = scale * (q[x] . column j) for whole steps of keys.  Each sum runs over d in order.
template <class T>
struct ScoreTile {
  const T* queries = nullptr;  // [count, dim], not padded
  const T* columns = nullptr;  // [dim, kTile], from the first key on
  std::int64_t dim = 0;
  std::int64_t keys = 0;  // a multiple of kKeyStep
  T scale = 0;
  T* scores = nullptr;  // [count, keys], rows `stride` apart
  std::int64_t stride = 0;
};

/// sums[x, d] += weights[x, j] * rows[j, d], j in order, for some vectors of d.
template <class T>
struct ValueTile {
  const T* weights = nullptr;  // [count, keys], rows `stride` apart
  std::int64_t stride = 0;
  const T* rows = nullptr;  // [keys, dim], from the first d on
  std::int64_t keys = 0, dim = 0;
  T* sums = nullptr;  // [count, dim], from the first d on
};

/// By the number of queries, 1 to kTogether, and of vectors, 1 to kMostVectors.  float adds each product by a fused
/// multiply-add, which rounds once: exactly defined, and what processors do fastest.  double multiplies, then adds.
template <class T>
struct AttentionProducts {
  static constexpr int kMostVectors = 3;
  using Scores = void (*)(const ScoreTile<T>&);
  using Values = void (*)(const ValueTile<T>&);
  std::int64_t lanes = 0;  // of a vector
  Scores scores[kTogether + 1];
  Values values[kTogether + 1][kMostVectors + 1];
};
template <class T>
const AttentionProducts<T>& attention_products(CpuLevel level);
template <>
const AttentionProducts<float>& attention_products(CpuLevel level);
template <>
const AttentionProducts<double>& attention_products(CpuLevel level);

}  // namespace mquant
