#pragma once
#include <cmath>
#include <cstdint>
#include "mquant/model.h"
namespace mquant {
inline void activate_row(Activation a, const float* x, std::int64_t n, float* out) {
  for (std::int64_t i = 0; i < n; ++i) switch (a) {
    case Activation::silu: out[i] = x[i] / (1 + std::exp(-x[i])); break;
    case Activation::gelu: out[i] = 0.5f * x[i] * (1 + std::erf(x[i] * 0.70710678f)); break;
    case Activation::gelu_tanh: out[i] = 0.5f * x[i] * (1 + std::tanh(0.7978845608f * (x[i] + 0.044715f * x[i] * x[i] * x[i]))); break;
    case Activation::quick_gelu: out[i] = x[i] / (1 + std::exp(-1.702f * x[i])); break;
  }
}
inline void multiply_row(const float* a, const float* b, std::int64_t n, float* o) { for (std::int64_t i = 0; i < n; ++i) o[i] = a[i] * b[i]; }
inline void add_row(const float* a, const float* b, std::int64_t n, float* o) { for (std::int64_t i = 0; i < n; ++i) o[i] = a[i] + b[i]; }
inline void scale_row(const float* a, float f, std::int64_t n, float* o) { for (std::int64_t i = 0; i < n; ++i) o[i] = a[i] * f; }
}
