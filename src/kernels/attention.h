// Softmax attention where each query sees an interval of the keys.
#pragma once

#include <cstdint>
#include <span>

namespace mquant {

/// Keys [begin, end) that a query sees; may be empty.
struct KeyRange {
  std::int64_t begin = 0, end = 0;
};

/// out = softmax(scale q . k) v, for each row and head on its own.  Head h reads key and value head
/// h / (heads / kv_heads).  Strides are the distances of rows, in values.
template <class T>
struct AttentionRows {
  const T* queries = nullptr;  // [rows, heads * head_dim]
  const T* keys = nullptr;     // [key_count, kv_heads * head_dim]
  const T* values = nullptr;   // [key_count, kv_heads * head_dim]
  /// In place of `keys` and `values`: int8 codes of the same shapes, which stand for code * scale of their column.
  const std::int8_t *key_codes = nullptr, *value_codes = nullptr;
  const T *key_scales = nullptr, *value_scales = nullptr;  // [kv_heads * head_dim]
  T* out = nullptr;                                        // [rows, heads * head_dim]
  std::int64_t query_stride = 0, key_stride = 0, value_stride = 0, out_stride = 0;
  std::int64_t key_count = 0;
  std::int64_t heads = 0, kv_heads = 0, head_dim = 0;
  T scale = 0;
  std::span<const KeyRange> ranges;  // [rows]
};

/// Part of the heads, by key and value head, and of the rows: what one thread does.
struct AttentionPart {
  std::int64_t kv_head_begin = 0, kv_head_end = 0;
  std::int64_t row_begin = 0, row_end = 0;
};

/// Computes one part; single-threaded.  A row that sees no key becomes zeros.
///
/// The order of every sum depends on the row's own interval only: a row gets the same bits wherever it stands, whatever
/// the parts are, and on every processor.  Keys outside of a row's interval are never touched for it.  Codes give the bits
/// of the numbers that they stand for; those are made a tile at a time.
///
/// @throws Error{internal} for sizes that contradict each other or an interval outside [0, key_count]
/// Cost     4 head_dim operations and one exponential for each row, head and key; the scores of a few rows as scratch
void attend_rows(const AttentionRows<float>& problem, const AttentionPart& part);
void attend_rows(const AttentionRows<double>& problem, const AttentionPart& part);

}  // namespace mquant
