// The one door to libtorch.  Functions are included one by one (<ATen/ops/x.h>) where methods do not suffice.
#pragma once

#include <ATen/core/Tensor.h>

namespace mquant {

// Arithmetic by methods: <ATen/TensorOperators.h> says the same for four times the compile time of this header.
inline at::Tensor operator+(const at::Tensor& a, const at::Tensor& b) { return a.add(b); }
inline at::Tensor operator-(const at::Tensor& a, const at::Tensor& b) { return a.sub(b); }
inline at::Tensor operator*(const at::Tensor& a, const at::Tensor& b) { return a.mul(b); }
inline at::Tensor operator/(const at::Tensor& a, const at::Tensor& b) { return a.div(b); }
inline at::Tensor operator+(const at::Tensor& a, double b) { return a.add(b); }
inline at::Tensor operator-(const at::Tensor& a, double b) { return a.sub(b); }
inline at::Tensor operator*(const at::Tensor& a, double b) { return a.mul(b); }
inline at::Tensor operator/(const at::Tensor& a, double b) { return a.div(b); }

}  // namespace mquant
