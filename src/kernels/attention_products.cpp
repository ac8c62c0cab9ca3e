#include "kernels/attention_products.h"

#include <algorithm>

#include "kernels/multiply_add.h"
#include "kernels/vector.h"

namespace mquant {
namespace {

/// Two vectors of keys at a time.
template <class Math, int Queries>
[[gnu::always_inline]] inline void scores_body(const ScoreTile<typename Math::Real>& t) {
  using T = typename Math::Real;
  using V = Vector<T, Math::bytes>;
  constexpr std::int64_t kStep = VectorOf<T, Math::bytes>::lanes;
  static_assert(kKeyStep % (2 * kStep) == 0);
  for (std::int64_t j = 0; j < t.keys; j += 2 * kStep) {
    V sum[Queries][2] = {};
    const T* columns = t.columns + j;
    for (std::int64_t d = 0; d < t.dim; ++d, columns += kTile) {
      const V left = load<T, Math::bytes>(columns), right = load<T, Math::bytes>(columns + kStep);
#pragma GCC unroll 4
      for (int x = 0; x < Queries; ++x) {
        const auto q = Math::broadcast(t.queries[x * t.dim + d]);
        Math::add_product(sum[x][0], q, left);
        Math::add_product(sum[x][1], q, right);
      }
    }
#pragma GCC unroll 4
    for (int x = 0; x < Queries; ++x)
#pragma GCC unroll 2
      for (int part = 0; part < 2; ++part)
        store<T, Math::bytes>(t.scores + x * t.stride + j + part * kStep, sum[x][part] * t.scale);
  }
}

/// `Parts` vectors of the values, from d on.
template <class Math, int Queries, int Parts>
[[gnu::always_inline]] inline void values_part(const ValueTile<typename Math::Real>& t, std::int64_t d) {
  using T = typename Math::Real;
  using V = Vector<T, Math::bytes>;
  constexpr std::int64_t kStep = VectorOf<T, Math::bytes>::lanes;
  V sum[Queries][Parts];
#pragma GCC unroll 4
  for (int x = 0; x < Queries; ++x)
#pragma GCC unroll 3
    for (int part = 0; part < Parts; ++part)
      sum[x][part] = load<T, Math::bytes>(t.sums + x * t.dim + d + part * kStep);
  const T* rows = t.rows + d;
  for (std::int64_t j = 0; j < t.keys; ++j, rows += t.dim) {
    V value[Parts];
#pragma GCC unroll 3
    for (int part = 0; part < Parts; ++part) value[part] = load<T, Math::bytes>(rows + part * kStep);
#pragma GCC unroll 4
    for (int x = 0; x < Queries; ++x) {
      const auto weight = Math::broadcast(t.weights[x * t.stride + j]);
#pragma GCC unroll 3
      for (int part = 0; part < Parts; ++part) Math::add_product(sum[x][part], weight, value[part]);
    }
  }
#pragma GCC unroll 4
  for (int x = 0; x < Queries; ++x)
#pragma GCC unroll 3
    for (int part = 0; part < Parts; ++part)
      store<T, Math::bytes>(t.sums + x * t.dim + d + part * kStep, sum[x][part]);
}

template <class Math, int Queries>
[[gnu::always_inline]] inline void values_body(const ValueTile<typename Math::Real>& t) {
  constexpr std::int64_t kStep = VectorOf<typename Math::Real, Math::bytes>::lanes;
  static_assert(kDimStep % kStep == 0);
  for (std::int64_t d = 0; d < t.dim;) {
    const std::int64_t left = (t.dim - d) / kStep;
    const std::int64_t parts =
        left == 4 ? 2 : std::min<std::int64_t>(left, 3);  // one alone loads more than it computes
    if (parts == 1)
      values_part<Math, Queries, 1>(t, d);
    else if (parts == 2)
      values_part<Math, Queries, 2>(t, d);
    else
      values_part<Math, Queries, 3>(t, d);
    d += parts * kStep;
  }
}

template <class Math, int Queries>
void scores_portable(const ScoreTile<typename Math::Real>& t) {
  scores_body<Math, Queries>(t);
}
template <class Math, int Queries>
void values_portable(const ValueTile<typename Math::Real>& t) {
  values_body<Math, Queries>(t);
}

#if defined(__x86_64__)
template <class Math, int Queries>
[[gnu::target("avx2,fma")]] void scores_avx2(const ScoreTile<typename Math::Real>& t) {
  scores_body<Math, Queries>(t);
}
template <class Math, int Queries>
[[gnu::target("avx2,fma")]] void values_avx2(const ValueTile<typename Math::Real>& t) {
  values_body<Math, Queries>(t);
}
template <int Queries>
[[gnu::target("avx512f")]] void scores_avx512(const ScoreTile<float>& t) {
  scores_body<FusedMathOfX86<64>, Queries>(t);
}
template <int Queries>
[[gnu::target("avx512f")]] void values_avx512(const ValueTile<float>& t) {
  values_body<FusedMathOfX86<64>, Queries>(t);
}
#endif

template <class Math>
constexpr AttentionProducts<typename Math::Real> kPortable = {
    {nullptr, scores_portable<Math, 1>, scores_portable<Math, 2>, scores_portable<Math, 3>,
     scores_portable<Math, 4>},
    {nullptr, values_portable<Math, 1>, values_portable<Math, 2>, values_portable<Math, 3>,
     values_portable<Math, 4>}};

#if defined(__x86_64__)
template <class Math>
constexpr AttentionProducts<typename Math::Real> kAvx2 = {
    {nullptr, scores_avx2<Math, 1>, scores_avx2<Math, 2>, scores_avx2<Math, 3>, scores_avx2<Math, 4>},
    {nullptr, values_avx2<Math, 1>, values_avx2<Math, 2>, values_avx2<Math, 3>, values_avx2<Math, 4>}};

constexpr AttentionProducts<float> kAvx512 = {
    {nullptr, scores_avx512<1>, scores_avx512<2>, scores_avx512<3>, scores_avx512<4>},
    {nullptr, values_avx512<1>, values_avx512<2>, values_avx512<3>, values_avx512<4>}};
#endif

}  // namespace

template <>
const AttentionProducts<float>& attention_products(CpuLevel level) {
  switch (level) {
#if defined(__x86_64__)
    case CpuLevel::avx512: return kAvx512;
    case CpuLevel::avx2: return kAvx2<FusedMathOfX86<32>>;
#endif
    default: return kPortable<FusedMath>;
  }
}

template <>
const AttentionProducts<double>& attention_products(CpuLevel level) {
#if defined(__x86_64__)
  if (level >= CpuLevel::avx2) return kAvx2<SeparateMath<double>>;
#endif
  static_cast<void>(level);
  return kPortable<SeparateMath<double>>;
}

}  // namespace mquant
