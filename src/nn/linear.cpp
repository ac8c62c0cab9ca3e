// Linears in float and by integer codes.
#include "nn/linear.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/linear.h>

#include <algorithm>

#include "kernels/gemm_int8.h"
#include "kernels/hadamard.h"
#include "kernels/quantize_rows.h"
#include "mquant/error.h"

namespace mquant {
namespace {

constexpr std::int64_t kOutputsAThread = 128;  // of a product split over threads

/// The static scale of each row.
std::vector<float> row_scales(const ClassScales& scales, const std::vector<TokenClass>& classes) {
  std::vector<float> out(classes.size());
  for (std::size_t i = 0; i < classes.size(); ++i) {
    const std::optional<float>& scale = scales.of(classes[i]);
    if (!scale)
      fail(ErrorKind::input, "there is no static scale for ", token_class_name(classes[i]),
           " tokens: calibration saw none; calibrate with samples that have them");
    out[i] = *scale;
  }
  return out;
}

/// int8 codes of rows, [rows, columns].
std::vector<std::int8_t> row_codes(const at::Tensor& x, const std::vector<float>& scales) {
  std::vector<std::int8_t> codes(static_cast<std::size_t>(x.numel()));
  quantize_rows(x.data_ptr<float>(), x.size(0), x.size(1), x.size(1), scales, codes.data());
  return codes;
}

/// codes * scale: what a linear with float weights and quantized inputs sees.
at::Tensor fake_quantized(const at::Tensor& x, const std::vector<float>& scales) {
  const std::vector<std::int8_t> codes = row_codes(x, scales);
  at::Tensor y = at::empty_like(x);
  float* out = y.data_ptr<float>();
  const std::int64_t columns = x.size(1);
  for (std::int64_t i = 0; i < x.numel(); ++i)
    out[i] = static_cast<float>(codes[static_cast<std::size_t>(i)]) *
             scales[static_cast<std::size_t>(i / columns)];
  return y;
}

/// y[r, o] = s_x[r] * s_w[o] * sum_i q_x[r, i] q_w[o, i].
at::Tensor integer_product(const QuantizedLinear& q, const at::Tensor& x, const std::vector<float>& scales) {
  const std::vector<std::int8_t> codes = row_codes(x, scales);
  const std::int64_t rows = x.size(0);
  at::Tensor y = at::empty({rows, q.out}, at::kFloat);
  float* out = y.data_ptr<float>();
  at::parallel_for(0, q.out, kOutputsAThread, [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t count = end - begin;
    std::vector<std::int32_t> sums(static_cast<std::size_t>(rows * count));
    gemm_s8(codes.data(), q.codes.data() + begin * q.in, sums.data(), rows, count, q.in, count);
    for (std::int64_t r = 0; r < rows; ++r) {
      const float scale = scales[static_cast<std::size_t>(r)];
      const std::int32_t* sum = sums.data() + r * count;
      for (std::int64_t o = 0; o < count; ++o)
        out[r * q.out + begin + o] =
            static_cast<float>(sum[o]) * (scale * q.weight_scale[static_cast<std::size_t>(begin + o)]);
    }
  });
  return y;
}

/// Weight of codes as floats, for inputs that stay float.
at::Tensor dequantized(const QuantizedLinear& q) {
  at::Tensor weight = at::empty({q.out, q.in}, at::kFloat);
  float* out = weight.data_ptr<float>();
  for (std::int64_t i = 0; i < q.out * q.in; ++i)
    out[i] = static_cast<float>(q.codes[static_cast<std::size_t>(i)]) *
             q.weight_scale[static_cast<std::size_t>(i / q.in)];
  return weight;
}

/// y[r, o] += x_k weight_k[o] for the k-th split channel.
void add_split_column(const QuantizedLinear& q, std::size_t k, const at::Tensor& x,
                      const std::vector<TokenClass>& classes, at::Tensor& y) {
  const SplitColumns& split = q.split;
  const at::Tensor column = x.select(1, split.channels[k]).contiguous();  // [rows]
  const bool codes_in = split.quantized && !split.input_scales.empty();
  const std::vector<float> scales =
      codes_in ? row_scales(split.input_scales[k], classes) : std::vector<float>();
  std::vector<float> weight(static_cast<std::size_t>(q.out));
  for (std::size_t o = 0; o < weight.size(); ++o) {
    const std::size_t at = k * weight.size() + o;
    weight[o] =
        split.quantized ? static_cast<float>(split.codes[at]) * split.weight_scale[k] : split.values[at];
  }
  for (std::int64_t r = 0; r < y.size(0); ++r) {
    float value = column.data_ptr<float>()[r];
    if (codes_in) {
      const float scale = scales[static_cast<std::size_t>(r)];
      std::int8_t code = 0;
      quantize_rows(&value, 1, 1, 1, {&scale, 1}, &code);
      value = static_cast<float>(code) * scale;
    }
    float* out = y.data_ptr<float>() + r * q.out;
    for (std::size_t o = 0; o < weight.size(); ++o) out[o] += value * weight[o];
  }
}

at::Tensor run_quantized(const Linear& linear, const at::Tensor& x, const std::vector<TokenClass>& classes) {
  const QuantizedLinear& q = *linear.quantized;
  if (q.scheme.weight_bits == 16) {
    const at::Tensor seen = fake_quantized(x, row_scales(q.input_scales, classes));
    return at::linear(seen, linear.weight, linear.bias);
  }
  at::Tensor y = q.scheme.activation_bits == 16 ? at::linear(x, dequantized(q))
                                                : integer_product(q, x, row_scales(q.input_scales, classes));
  for (std::size_t k = 0; k < q.split.channels.size(); ++k) add_split_column(q, k, x, classes, y);
  if (linear.bias.defined()) y.add_(linear.bias);
  return y;
}

}  // namespace

at::Tensor rotate_input(const Linear& linear, const at::Tensor& x) {
  if (!linear.rotation) return x.contiguous();
  const HadamardPlan plan = plan_hadamard(linear.rotation.size, linear.rotation.block);
  at::Tensor y = x.contiguous().clone();
  if (y.scalar_type() == at::kDouble)
    hadamard_rows(y.data_ptr<double>(), y.size(0), plan, linear.rotation.signs, Direction::forward);
  else
    hadamard_rows(y.data_ptr<float>(), y.size(0), plan, linear.rotation.signs, Direction::forward);
  return y;
}

at::Tensor run_linear(const Linear& linear, const at::Tensor& x, const std::vector<TokenClass>& classes,
                      bool run_float) {
  const at::Tensor turned = rotate_input(linear, x);
  if (linear.quantized == nullptr || run_float) return at::linear(turned, linear.weight, linear.bias);
  return run_quantized(linear, turned, classes);
}

}  // namespace mquant
