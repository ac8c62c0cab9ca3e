// Small layers with inputs of known statistics.
#pragma once

#include <ATen/Parallel.h>

#include <cstdint>
#include <vector>

#include "mquant/scheme.h"
#include "mquant/tensor.h"

namespace mquant::test {

/// Uniform in [-1, 1), float32.
at::Tensor random_matrix(std::int64_t rows, std::int64_t columns, std::uint64_t seed);

/// A weight, inputs whose channels are strongly correlated and differ in size, and their Hessian.
struct Layer {
  at::Tensor W;  // [out, in]
  at::Tensor X;  // [rows, in]
  at::Tensor H;  // sum x x^T
};
Layer correlated_layer(std::int64_t out, std::int64_t in, std::uint64_t seed);

/// |(W - codes) X|^2, in double.
double output_error(const Layer& layer, const QuantizedLinear& linear);

/// The codes as a tensor [out, in], for comparisons.
at::Tensor codes_of(const QuantizedLinear& linear);

/// Runs the work with this many threads of libtorch, and puts the number back.
template <class Work>
auto with_threads(int threads, Work&& work) {
  const int before = at::get_num_threads();
  at::set_num_threads(threads);
  auto result = work();
  at::set_num_threads(before);
  return result;
}

inline const QuantScheme kInt4 = {.weight_bits = 4, .activation_bits = 8};
inline const QuantScheme kInt8 = {.weight_bits = 8, .activation_bits = 8};

}  // namespace mquant::test
