// Linears in float and by integer codes.
#include "nn/linear.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/linear.h>

#include <algorithm>

#include "kernels/gemm_int8.h"
#include "kernels/gemm_widened.h"
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

/// What a split channel adds: x[r] w[o].
struct SplitTerm {
  std::vector<double> x;  // [rows]
  std::vector<double> w;  // [out]
};

SplitTerm split_term(const QuantizedLinear& q, std::size_t k, const at::Tensor& x,
                     const std::vector<TokenClass>& classes) {
  const SplitColumns& split = q.split;
  const at::Tensor column = x.select(1, split.channels[k]).contiguous();  // [rows]
  const float* values = column.data_ptr<float>();
  SplitTerm term{std::vector<double>(values, values + column.numel()),
                 std::vector<double>(static_cast<std::size_t>(q.out))};
  if (split.quantized && !split.input_scales.empty()) {
    const std::vector<float> scales = row_scales(split.input_scales[k], classes);
    for (std::size_t r = 0; r < term.x.size(); ++r) {
      std::int8_t code = 0;
      quantize_rows(values + r, 1, 1, 1, {&scales[r], 1}, &code);
      term.x[r] = static_cast<double>(code) * static_cast<double>(scales[r]);
    }
  }
  for (std::size_t o = 0; o < term.w.size(); ++o) {
    const std::size_t at = k * term.w.size() + o;
    term.w[o] = split.quantized
                    ? static_cast<double>(split.codes[at]) * static_cast<double>(split.weight_scale[k])
                    : static_cast<double>(split.values[at]);
  }
  return term;
}

/// y[r, o] = s_x[r] * s_w[o] * sum_i q_x[r, i] q_w[o, i] + split terms + b[o].
///
/// The sum is exact in int32; the rest is done in double and rounded to float32 once.  So the result is the number
/// that the definition means, and a runtime that does the same agrees bit for bit: a code of the next linear that lies
/// between two does not fall the other way.
at::Tensor integer_product(const QuantizedLinear& q, const at::Tensor& x, const std::vector<float>& scales,
                           const std::vector<SplitTerm>& terms, const at::Tensor& bias) {
  const std::vector<std::int8_t> codes = row_codes(x, scales);
  const std::int64_t rows = x.size(0);
  at::Tensor y = at::empty({rows, q.out}, at::kFloat);
  if (rows == 0) return y;
  float* out = y.data_ptr<float>();
  const float* b = bias.defined() ? bias.data_ptr<float>() : nullptr;
  at::parallel_for(0, q.out, kOutputsAThread, [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t count = end - begin;
    std::vector<std::int32_t> sums(static_cast<std::size_t>(rows * count));
    gemm_s8(codes.data(), q.codes.data() + begin * q.in, sums.data(), rows, count, q.in, count);
    for (std::int64_t r = 0; r < rows; ++r) {
      const auto scale = static_cast<double>(scales[static_cast<std::size_t>(r)]);
      const std::int32_t* sum = sums.data() + r * count;
      for (std::int64_t o = 0; o < count; ++o) {
        const auto at = static_cast<std::size_t>(begin + o);
        double value = static_cast<double>(sum[o]) * (scale * static_cast<double>(q.weight_scale[at]));
        for (const SplitTerm& term : terms) value += term.x[static_cast<std::size_t>(r)] * term.w[at];
        if (b != nullptr) value += static_cast<double>(b[at]);
        out[r * q.out + begin + o] = static_cast<float>(value);
      }
    }
  });
  return y;
}

/// y[r, o] = s_w[o] * sum_i x[r, i] q_w[o, i], for inputs that stay float.
at::Tensor weight_only_product(const QuantizedLinear& q, const at::Tensor& x) {
  const std::int64_t rows = x.size(0);
  at::Tensor y = at::empty({rows, q.out}, at::kFloat);
  at::parallel_for(0, q.out, kOutputsAThread, [&](std::int64_t begin, std::int64_t end) {
    gemm_f32_s8(x.data_ptr<float>(), rows, q.codes.data() + begin * q.in, q.weight_scale.data() + begin,
                end - begin, q.in, y.data_ptr<float>() + begin, q.out);
  });
  return y;
}

at::Tensor run_quantized(const Linear& linear, const at::Tensor& x, const std::vector<TokenClass>& classes) {
  const QuantizedLinear& q = *linear.quantized;
  if (q.scheme.weight_bits == 16) {
    const at::Tensor seen = fake_quantized(x, row_scales(q.input_scales, classes));
    return at::linear(seen, linear.weight, linear.bias);
  }
  std::vector<SplitTerm> terms;
  for (std::size_t k = 0; k < q.split.channels.size(); ++k) terms.push_back(split_term(q, k, x, classes));
  if (q.scheme.activation_bits != 16)
    return integer_product(q, x, row_scales(q.input_scales, classes), terms, linear.bias);
  at::Tensor y = weight_only_product(q, x);
  if (linear.bias.defined()) y += linear.bias;
  for (const SplitTerm& term : terms)
    for (std::int64_t r = 0; r < y.size(0); ++r) {
      float* row = y.data_ptr<float>() + r * q.out;
      for (std::size_t o = 0; o < term.w.size(); ++o)
        row[o] += static_cast<float>(term.x[static_cast<std::size_t>(r)] * term.w[o]);
    }
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
