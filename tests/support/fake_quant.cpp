#include "tests/support/fake_quant.h"

#include <ATen/ops/empty.h>

#include <algorithm>

#include "nn/linear.h"

namespace mquant::test {

double relative_to_largest(const at::Tensor& found, const at::Tensor& expected) {
  return ((found.to(at::kDouble) - expected.to(at::kDouble)).abs().max() /
          expected.to(at::kDouble).abs().max())
      .item<double>();
}

namespace {

/// [rows, 1] float32.
at::Tensor scales_of_rows(const ClassScales& scales, const std::vector<TokenClass>& classes,
                          const at::Tensor& x) {
  at::Tensor rows = x.new_empty({static_cast<std::int64_t>(classes.size()), 1});
  for (std::size_t i = 0; i < classes.size(); ++i) rows.data_ptr<float>()[i] = scales.of(classes[i]).value();
  return rows;
}

/// x rounded to int8 codes and back, float64.
at::Tensor fake_quantized(const at::Tensor& x, const at::Tensor& scales) {
  return (x / scales).round().clamp(-127, 127).to(at::kDouble) * scales.to(at::kDouble);
}

/// y = x' W^T + b in float64, from the definition of QuantizedLinear and SplitColumns.
at::Tensor reference(const Linear& linear, const at::Tensor& x, const std::vector<TokenClass>& classes) {
  const QuantizedLinear& q = *linear.quantized;
  const at::Tensor turned = rotate_input(linear, x);
  at::Tensor weight = at::empty({q.out, q.in}, at::kDouble);
  double* values = weight.data_ptr<double>();
  for (std::int64_t i = 0; i < q.out * q.in; ++i)
    values[i] = static_cast<double>(q.codes[static_cast<std::size_t>(i)]) *
                static_cast<double>(q.weight_scale[static_cast<std::size_t>(i / q.in)]);
  const at::Tensor seen_rows = q.scheme.activation_bits == 16
                                   ? turned.to(at::kDouble)
                                   : fake_quantized(turned, scales_of_rows(q.input_scales, classes, x));
  at::Tensor y = seen_rows.matmul(weight.t());
  for (std::size_t k = 0; k < q.split.channels.size(); ++k) {
    const at::Tensor column = turned.narrow(1, q.split.channels[k], 1);  // [rows, 1]
    const at::Tensor seen = q.split.quantized
                                ? fake_quantized(column, scales_of_rows(q.split.input_scales[k], classes, x))
                                : column.to(at::kDouble);
    at::Tensor column_weight = at::empty({1, q.out}, at::kDouble);
    for (std::int64_t o = 0; o < q.out; ++o) {
      const std::size_t at = k * static_cast<std::size_t>(q.out) + static_cast<std::size_t>(o);
      column_weight.data_ptr<double>()[o] =
          q.split.quantized
              ? static_cast<double>(q.split.codes[at]) * static_cast<double>(q.split.weight_scale[k])
              : static_cast<double>(q.split.values[at]);
    }
    y = y + seen.matmul(column_weight);
  }
  return linear.bias.defined() ? y + linear.bias.to(at::kDouble) : y;
}

}  // namespace

void ReferenceRun::run(const Block& block) {
  const BlockSpec& spec = block.spec();
  if (!takes_part(spec, features_)) return;
  if (spec.name == "head") restore_order(state_);
  for (std::size_t i = 0; i < spec.steps.size(); ++i) {
    const Step& step = spec.steps[i];
    if (step.op == Op::linear && block.linear(step.name).quantized != nullptr)
      run_by_reference(block, step);
    else
      run_steps(block, state_, i, i + 1);
  }
}

void ReferenceRun::run_by_reference(const Block& block, const Step& step) {
  const Linear& linear = block.linear(step.name);
  const at::Tensor x = state_.registers.at(step.in[0]);
  const std::vector<TokenClass> classes =
      row_classes(block.spec(), block.spec().linear(step.name).rows, state_, x.size(0));
  const at::Tensor found = run_linear(linear, x, classes, false), wanted = reference(linear, x, classes);
  if (x.size(0) > 0) largest_difference = std::max(largest_difference, relative_to_largest(found, wanted));
  state_.registers[step.out] = follow_ == Follow::model ? found : wanted.to(at::kFloat);
  ++linears;
  split += linear.quantized->split.empty() ? 0 : 1;
}

}  // namespace mquant::test
