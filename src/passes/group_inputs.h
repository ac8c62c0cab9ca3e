// The inputs of one group of linears over all calibration samples.
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "mquant/sample.h"
#include "mquant/tensor.h"

namespace mquant {

class GroupInputs {
 public:
  /// x [rows, in] float32, after the group's online rotation, and the class of each row.
  using Visit =
      std::function<void(std::size_t sample, const at::Tensor& x, const std::vector<TokenClass>& classes)>;

  virtual ~GroupInputs() = default;
  /// How many samples have rows here; `visit` gets their index, from 0.
  virtual std::size_t samples() const = 0;
  virtual std::int64_t width() const = 0;
  /// Several samples at a time, in any order: for statistics that do not care.
  virtual void in_parallel(const Visit& visit) = 0;
  /// One after another: for sums of floats, whose order is part of the result.
  virtual void in_order(const Visit& visit) = 0;
  /// x *= factors [in], for a pass that has just divided them out of the norm before the group.
  virtual void scale_columns(const at::Tensor& factors) = 0;
};

}  // namespace mquant
