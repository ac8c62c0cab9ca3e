#include "kernels/activations.h"

#include <algorithm>

#include "kernels/cpu.h"
#include "kernels/exp.h"
#include "kernels/vector.h"
#include "mquant/error.h"

namespace mquant {
namespace {

typedef Vector<float> Floats;
constexpr int kLanes = VectorOf<float>::lanes;

[[gnu::always_inline]] inline Floats negative_magnitude(const Floats& x) { return x < 0.0F ? x : -x; }

/// x / (1 + exp(-t)), t of the sign of x.  The exponential is of -|t|, so that it cannot overflow.
[[gnu::always_inline]] inline Floats times_sigmoid(const Floats& x, const Floats& t) {
  const Floats e = exp_of_nonpositive(negative_magnitude(t));
  return (x < 0.0F ? x * e : x) / (1.0F + e);
}

/// The normal distribution's tail beyond |x| is exp(-x^2 / 2) R(s), s = 1 / (1 + 0.3 |x|), where R is the polynomial of
/// least relative error, 1.2e-7, for erfcx(|x| / sqrt(2)) / 2 on 0 <= |x| <= 13.3; beyond, the exponential is 0.
[[gnu::always_inline]] inline Floats times_normal_cdf(const Floats& x) {
  const Floats s = 1.0F / (1.0F - 0.3F * negative_magnitude(x));
  Floats r = s * 0.0387970917F - 0.170990303F;
  r = r * s + 0.231999397F;
  r = r * s - 0.079847753F;
  r = r * s + 0.144525051F;
  r = r * s + 0.09396521F;
  r = r * s + 0.122073114F;
  r = r * s + 0.119470283F;
  r = r * s + 7.97658777e-06F;
  const Floats tail = exp_of_nonpositive(x * x * -0.5F) * r;
  return x * (x < 0.0F ? tail : 1.0F - tail);
}

template <Activation activation>
[[gnu::always_inline]] inline Floats activated(const Floats& x) {
  if constexpr (activation == Activation::silu) return times_sigmoid(x, x);
  if constexpr (activation == Activation::quick_gelu) return times_sigmoid(x, x * 1.702F);
  if constexpr (activation == Activation::gelu) return times_normal_cdf(x);
  constexpr float kTwice = 1.5957691216057308F;  // 2 sqrt(2 / pi)
  return times_sigmoid(x, kTwice * (x + 0.044715F * (x * x * x)));
}

template <Activation activation>
[[gnu::always_inline]] inline void run_body(const float* x, const float* up, std::int64_t n, float* out) {
  const std::int64_t whole = n / kLanes * kLanes, left = n - whole;
  for (std::int64_t i = 0; i < whole; i += kLanes) {
    Floats y = activated<activation>(load(x + i));
    if (up) y *= load(up + i);
    store<float>(out + i, y);
  }
  if (left == 0) return;
  float in[kLanes] = {}, factor[kLanes] = {}, result[kLanes];
  std::copy_n(x + whole, left, in);
  if (up) std::copy_n(up + whole, left, factor);
  Floats y = activated<activation>(load(in));
  if (up) y *= load(factor);
  store<float>(result, y);
  std::copy_n(result, left, out + whole);
}

template <Activation activation>
void run_portable(const float* x, const float* up, std::int64_t n, float* out) {
  run_body<activation>(x, up, n, out);
}

#if defined(__x86_64__)
template <Activation activation>
[[gnu::target("avx2")]] void run_avx2(const float* x, const float* up, std::int64_t n, float* out) {
  run_body<activation>(x, up, n, out);
}
#endif

template <Activation activation>
void run(const float* x, const float* up, std::int64_t n, float* out) {
#if defined(__x86_64__)
  if (cpu_level() >= CpuLevel::avx2) return run_avx2<activation>(x, up, n, out);
#endif
  run_portable<activation>(x, up, n, out);
}

void dispatch(Activation activation, const float* x, const float* up, std::int64_t n, float* out) {
  switch (activation) {
    case Activation::silu: return run<Activation::silu>(x, up, n, out);
    case Activation::gelu: return run<Activation::gelu>(x, up, n, out);
    case Activation::gelu_tanh: return run<Activation::gelu_tanh>(x, up, n, out);
    case Activation::quick_gelu: return run<Activation::quick_gelu>(x, up, n, out);
  }
  fail(ErrorKind::internal, "no such activation: ", static_cast<int>(activation));
}

}  // namespace

void activate_row(Activation activation, const float* x, std::int64_t n, float* out) {
  dispatch(activation, x, nullptr, n, out);
}

void activate_multiply_row(Activation activation, const float* gate, const float* up, std::int64_t n,
                           float* out) {
  dispatch(activation, gate, up, n, out);
}

void add_row(const float* a, const float* b, std::int64_t n, float* out) {
  for (std::int64_t i = 0; i < n; ++i) out[i] = a[i] + b[i];
}

void multiply_row(const float* a, const float* b, std::int64_t n, float* out) {
  for (std::int64_t i = 0; i < n; ++i) out[i] = a[i] * b[i];
}

void scale_row(const float* x, float factor, std::int64_t n, float* out) {
  for (std::int64_t i = 0; i < n; ++i) out[i] = x[i] * factor;
}

}  // namespace mquant
