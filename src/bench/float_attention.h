// Attention of the float baselines, through at::scaled_dot_product_attention.
#pragma once

#include <cstdint>

#include "mquant/block.h"
#include "nn/rope.h"

namespace mquant {

/// Keys and values of the sequences of one decoder block: [batch, capacity, kv_heads * head_dim].
struct FloatCache {
  at::Tensor keys, values;
};

/// Attention of one block over `batch` sequences of one length, their rows one behind the other.  What does not depend
/// on the values of rows (angles, masks) is made here, before the clock runs: a model makes it once for a prompt.
class FloatAttention {
 public:
  /// @param block  float32
  /// @param state  at the block's input; `past` is set
  FloatAttention(const Block& block, const SampleState& state, std::int64_t batch, at::ScalarType dtype);

  /// Operands as those of attend (nn/attention.h).  With a cache, keys and values of the rows are put behind
  /// `state.past` first.
  at::Tensor run(const SampleState& state, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                 FloatCache* cache) const;

 private:
  at::Tensor of_vision(const SampleState& state, const at::Tensor& q, const at::Tensor& k,
                       const at::Tensor& v) const;
  at::Tensor of_tokens(std::int64_t past, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                       FloatCache* cache) const;

  AttentionSpec spec_;
  bool on_tokens_;
  std::int64_t batch_;
  RopeTable rope_;
  at::Tensor logn_;      // [rows, 1], or undefined
  bool causal_ = false;  // a row sees all rows before it
  at::Tensor mask_;      // [tokens, tokens] bool where that is not all; undefined elsewhere
};

}  // namespace mquant
