// A quantized linear in the form that runs fast.
#pragma once

#include <array>
#include <vector>

#include "kernels/hadamard.h"
#include "kernels/packed_weight.h"
#include "mquant/block.h"
#include "runtime/run_mode.h"

namespace mquant {

/// How a linear wants its input: rotated, quantized, split.  Linears that want the same share the codes.
struct InputForm {
  OnlineRotation rotation;
  ClassScales scales;
  std::vector<std::int64_t> split_channels;
  bool split_quantized = false;
  std::vector<ClassScales> split_scales;  // by channel, when quantized

  explicit InputForm(const Linear& linear);
  bool operator==(const InputForm& other) const;
};

/// Does this linear run by its codes here?  Others (float, int4 weights with float activations) run as nn runs them.
bool runs_by_codes(const Linear& linear);

class PreparedLinear {
 public:
  /// Packs the codes.  @throws Error{input} for codes that a QuantizedLinear cannot have
  PreparedLinear(const std::string& name, const Linear& linear, RowSet rows);

  const std::string& name() const { return name_; }
  const InputForm& input_form() const { return input_form_; }
  std::int64_t in() const { return weight_.in(); }
  std::int64_t out() const { return weight_.out(); }
  RowSet rows() const { return rows_; }
  const PackedWeight& weight() const { return weight_; }
  /// [out], s_w
  const double* channel_scale() const { return channel_scale_.data(); }
  /// [out], s_x(class) s_w; null for a class without a scale
  const double* class_scale(TokenClass c) const;
  /// [out], s_x s_w for the largest s_x of all classes
  const double* largest_scale() const { return class_scale(largest_class_); }
  const std::vector<double>& split_weight() const { return split_weight_; }  // [splits, out]
  const float* bias() const { return bias_.empty() ? nullptr : bias_.data(); }
  /// Memory that the weight takes, scales and split columns included.
  std::int64_t bytes() const;

 private:
  std::string name_;
  InputForm input_form_;
  RowSet rows_;
  PackedWeight weight_;
  std::vector<double> channel_scale_, split_weight_;
  std::array<std::vector<double>, kTokenClasses> class_scale_;
  TokenClass largest_class_ = TokenClass::text;
  std::vector<float> bias_;
};

/// The largest of the static scales; Error{input} if there is none.
float largest_scale(const ClassScales& scales);
/// The static scale of a class.  @throws Error{input} if calibration saw no token of it
float scale_of(const ClassScales& scales, TokenClass token_class);

}  // namespace mquant
