#include "nn/row_steps.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/silu.h>

#include <algorithm>

#include "kernels/activations.h"
#include "kernels/norm_rows.h"
#include "mquant/error.h"

namespace mquant {
namespace {

constexpr std::int64_t kValuesAThread = 1 << 15;

bool is_float(const at::Tensor& x) { return !x.defined() || x.scalar_type() == at::kFloat; }

const float* values_of(const at::Tensor& weight, std::int64_t width) {
  if (!weight.defined()) return nullptr;
  require(weight.numel() == width && weight.is_contiguous(), "a norm of ", width, " has ", weight.numel(),
          " weights");
  return weight.data_ptr<float>();
}

at::Tensor normalized_floats(const NormWeights& norm, std::int64_t width, const at::Tensor& rows) {
  const at::Tensor x = rows.contiguous();
  require(width > 0 && x.size(1) % width == 0, "a norm of ", width, " over rows of ", x.size(1));
  at::Tensor out = at::empty_like(x);
  const NormRows all{.x = x.data_ptr<float>(),
                     .out = out.data_ptr<float>(),
                     .rows = x.numel() / width,
                     .width = width,
                     .x_stride = width,
                     .out_stride = width,
                     .scale = values_of(norm.scale, width),
                     .shift = values_of(norm.shift, width),
                     .eps = norm.eps};
  const std::int64_t rows_a_thread = std::max<std::int64_t>(1, kValuesAThread / width);
  at::parallel_for(0, all.rows, rows_a_thread, [&](std::int64_t begin, std::int64_t end) {
    NormRows part = all;
    part.x += begin * width;
    part.out += begin * width;
    part.rows = end - begin;
    norm.kind == NormKind::layer ? layer_norm_rows(part) : rms_norm_rows(part);
  });
  return out;
}

}  // namespace

at::Tensor normalized(const NormWeights& norm, std::int64_t width, const at::Tensor& rows) {
  if (is_float(rows) && is_float(norm.scale) && is_float(norm.shift))
    return normalized_floats(norm, width, rows);
  const at::Tensor x = rows.size(1) == width ? rows : rows.reshape({-1, width});
  if (norm.kind == NormKind::layer)
    return at::layer_norm(x, {width}, norm.scale, norm.shift, norm.eps).view(rows.sizes());
  at::Tensor y = x * x.square().mean(-1, true).add(norm.eps).rsqrt();
  if (norm.scale.defined()) y = norm.scale * y;
  if (norm.shift.defined()) y = y + norm.shift;
  return y.view(rows.sizes());
}

at::Tensor activated(Activation activation, const at::Tensor& values) {
  if (is_float(values)) {
    const at::Tensor x = values.contiguous();
    at::Tensor out = at::empty_like(x);
    const float* from = x.data_ptr<float>();
    float* to = out.data_ptr<float>();
    at::parallel_for(0, x.numel(), kValuesAThread, [&](std::int64_t begin, std::int64_t end) {
      activate_row(activation, from + begin, end - begin, to + begin);
    });
    return out;
  }
  switch (activation) {
    case Activation::silu: return at::silu(values);
    case Activation::gelu: return at::gelu(values);
    case Activation::gelu_tanh: return at::gelu(values, "tanh");
    case Activation::quick_gelu: return values * (values * 1.702).sigmoid();
  }
  return values;
}

}  // namespace mquant
