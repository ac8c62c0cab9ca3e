#include "tests/unit/quant/layers.h"

#include <ATen/ops/empty.h>

#include "quant/hessian.h"
#include "quant/round_to_nearest.h"
#include "support/rng.h"

namespace mquant::test {

at::Tensor random_matrix(std::int64_t rows, std::int64_t columns, std::uint64_t seed) {
  Rng rng(seed);
  at::Tensor x = at::empty({rows, columns}, at::kFloat);
  float* values = x.data_ptr<float>();
  for (std::int64_t i = 0; i < x.numel(); ++i) values[i] = static_cast<float>(rng.uniform() * 2 - 1);
  return x;
}

Layer correlated_layer(std::int64_t out, std::int64_t in, std::uint64_t seed) {
  Layer layer;
  layer.W = random_matrix(out, in, seed);
  const std::int64_t sources = in / 4 + 1;
  const at::Tensor mix = random_matrix(sources, in, seed + 1), noise = random_matrix(3 * in, in, seed + 2);
  const at::Tensor size = random_matrix(1, in, seed + 3).abs() + 0.05;
  layer.X = (random_matrix(3 * in, sources, seed + 4).matmul(mix) + noise * 0.1) * size;
  HessianAccumulator hessian(in);
  hessian.add(layer.X);
  layer.H = hessian.take();
  return layer;
}

double output_error(const Layer& layer, const QuantizedLinear& linear) {
  const at::Tensor error = (layer.W - dequantized(linear)).to(at::kDouble);
  return layer.X.to(at::kDouble).matmul(error.t()).square().sum().item<double>();
}

at::Tensor codes_of(const QuantizedLinear& linear) {
  at::Tensor codes = at::empty({linear.out, linear.in}, at::kChar);
  std::copy(linear.codes.begin(), linear.codes.end(), codes.data_ptr<std::int8_t>());
  return codes;
}

}  // namespace mquant::test
