#include "kernels/gemm_int8.h"

#include "kernels/cpu.h"
#include "kernels/gemm_int8_blocked.h"
#include "mquant/error.h"

namespace mquant {
namespace int8 {

void gemm_portable(const Problem& p) {
  for (std::int64_t j = 0; j < p.n; ++j) {
    const std::int8_t* b = p.b + j * p.k;
    for (std::int64_t i = 0; i < p.m; ++i) {
      const std::int8_t* a = p.a + i * p.k;
      std::int32_t sum = 0;
      for (std::int64_t t = 0; t < p.k; ++t) sum += a[t] * b[t];
      p.c[i * p.c_stride + j] = sum;
    }
  }
}

namespace {

void gemm(const Problem& p) {
  require(p.m >= 0 && p.n >= 0 && p.k >= 0 && p.c_stride >= p.n, "gemm_s8 of ", p.m, " x ", p.n, " x ", p.k);
  if (p.k > kLongestInt8Sum)
    fail(ErrorKind::unsupported, "an integer product over ", p.k, " columns may overflow; at most ",
         kLongestInt8Sum);
#if defined(__x86_64__)
  switch (cpu_level()) {
    case CpuLevel::avx512: return gemm_avx512(p);
    case CpuLevel::avx2: return gemm_avx2(p);
    case CpuLevel::portable: break;
  }
#endif
  gemm_portable(p);
}

}  // namespace
}  // namespace int8

void gemm_s8(const std::int8_t* a, const std::int8_t* b, std::int32_t* c, std::int64_t m, std::int64_t n,
             std::int64_t k, std::int64_t c_stride) {
  int8::gemm({a, b, c, m, n, k, c_stride});
}

}  // namespace mquant
