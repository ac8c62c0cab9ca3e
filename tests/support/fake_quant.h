// What a quantized model means, in floats: dequantized weights on inputs rounded to their codes, in float64.
#pragma once

#include "mquant/block.h"

namespace mquant::test {

/// The largest difference, of the largest magnitude of `expected`.
double relative_to_largest(const at::Tensor& found, const at::Tensor& expected);

/// Whose output of a linear the next step sees.
enum class Follow { model, reference };

/// Runs blocks one after the other, each quantized linear by the model's codes and by its definition in float64.
class ReferenceRun {
 public:
  ReferenceRun(const Features& features, Follow follow)
      : state_(start(features, at::kFloat)), features_(features), follow_(follow) {}

  void run(const Block& block);
  at::Tensor logits() const { return state_.registers.at("logits"); }

  int linears = 0, split = 0;     // quantized ones run so far; those with split columns
  double largest_difference = 0;  // between the two, of one linear on the same input

 private:
  void run_by_reference(const Block& block, const Step& step);

  SampleState state_;
  const Features& features_;
  Follow follow_;
};

}  // namespace mquant::test
