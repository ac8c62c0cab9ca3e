// The keys and values of one block over all calibration samples.
#pragma once

#include <cstddef>
#include <functional>

#include "mquant/tensor.h"

namespace mquant {

class AttentionInputs {
 public:
  /// keys and values [rows, kv_heads * head_dim] float32, the keys behind the rotary embedding: as a cache holds them,
  /// but for the order of rows.
  using Visit = std::function<void(std::size_t sample, const at::Tensor& keys, const at::Tensor& values)>;

  virtual ~AttentionInputs() = default;
  /// How many samples have rows here; `visit` gets their index, from 0.
  virtual std::size_t samples() const = 0;
  /// Several samples at a time, in any order: for statistics that do not care.
  virtual void in_parallel(const Visit& visit) = 0;
};

}  // namespace mquant
