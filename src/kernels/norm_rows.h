#pragma once
#include <cmath>
#include <cstdint>
namespace mquant {
inline void rms_norm_row(const float* x, std::int64_t n, const float* scale, const float* shift, double eps, float* out) {
  double s = 0; for (std::int64_t i = 0; i < n; ++i) s += double(x[i]) * double(x[i]);
  const float f = float(1.0 / std::sqrt(s / double(n) + eps));
  for (std::int64_t i = 0; i < n; ++i) { float y = x[i] * f; if (scale) y *= scale[i]; if (shift) y += shift[i]; out[i] = y; }
}
inline void layer_norm_row(const float* x, std::int64_t n, const float* scale, const float* shift, double eps, float* out) {
  double s = 0, v = 0; for (std::int64_t i = 0; i < n; ++i) s += double(x[i]);
  const double m = s / double(n);
  for (std::int64_t i = 0; i < n; ++i) v += (x[i] - m) * (x[i] - m);
  const float f = float(1.0 / std::sqrt(v / double(n) + eps)), mf = float(m);
  for (std::int64_t i = 0; i < n; ++i) { float y = (x[i] - mf) * f; if (scale) y *= scale[i]; if (shift) y += shift[i]; out[i] = y; }
}
}
