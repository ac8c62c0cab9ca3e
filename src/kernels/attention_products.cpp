#include "kernels/attention_products.h"

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

// Each in a function of its own: GCC 12 keeps the sums of several in memory.
template <class Math, int Queries, int Parts>
[[gnu::always_inline]] inline void values_body(const ValueTile<typename Math::Real>& t) {
  using T = typename Math::Real;
  using V = Vector<T, Math::bytes>;
  constexpr std::int64_t kStep = VectorOf<T, Math::bytes>::lanes;
  static_assert(kDimStep % kStep == 0);
  V sum[Queries][Parts];
#pragma GCC unroll 4
  for (int x = 0; x < Queries; ++x)
#pragma GCC unroll 3
    for (int part = 0; part < Parts; ++part)
      sum[x][part] = load<T, Math::bytes>(t.sums + x * t.dim + part * kStep);
  const T* rows = t.rows;
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
      store<T, Math::bytes>(t.sums + x * t.dim + part * kStep, sum[x][part]);
}

template <class Math>
struct Portable {
  template <int Queries>
  static void scores(const ScoreTile<typename Math::Real>& t) {
    scores_body<Math, Queries>(t);
  }
  template <int Queries, int Parts>
  static void values(const ValueTile<typename Math::Real>& t) {
    values_body<Math, Queries, Parts>(t);
  }
};

#if defined(__x86_64__)
template <class Math>
struct Avx2 {
  template <int Queries>
  [[gnu::target("avx2,fma")]] static void scores(const ScoreTile<typename Math::Real>& t) {
    scores_body<Math, Queries>(t);
  }
  template <int Queries, int Parts>
  [[gnu::target("avx2,fma")]] static void values(const ValueTile<typename Math::Real>& t) {
    values_body<Math, Queries, Parts>(t);
  }
};

template <class Math>
struct Avx512 {
  template <int Queries>
  [[gnu::target("avx512f")]] static void scores(const ScoreTile<typename Math::Real>& t) {
    scores_body<Math, Queries>(t);
  }
  template <int Queries, int Parts>
  [[gnu::target("avx512f")]] static void values(const ValueTile<typename Math::Real>& t) {
    values_body<Math, Queries, Parts>(t);
  }
};
#endif

template <template <class> class Level, class Math>
constexpr AttentionProducts<typename Math::Real> kProducts = {
    VectorOf<typename Math::Real, Math::bytes>::lanes,
    {nullptr, Level<Math>::template scores<1>, Level<Math>::template scores<2>,
     Level<Math>::template scores<3>, Level<Math>::template scores<4>},
    {{},
     {nullptr, Level<Math>::template values<1, 1>, Level<Math>::template values<1, 2>,
      Level<Math>::template values<1, 3>},
     {nullptr, Level<Math>::template values<2, 1>, Level<Math>::template values<2, 2>,
      Level<Math>::template values<2, 3>},
     {nullptr, Level<Math>::template values<3, 1>, Level<Math>::template values<3, 2>,
      Level<Math>::template values<3, 3>},
     {nullptr, Level<Math>::template values<4, 1>, Level<Math>::template values<4, 2>,
      Level<Math>::template values<4, 3>}}};

}  // namespace

template <>
const AttentionProducts<float>& attention_products(CpuLevel level) {
  switch (level) {
#if defined(__x86_64__)
    case CpuLevel::avx512: return kProducts<Avx512, FusedMathOfX86<64>>;
    case CpuLevel::avx2: return kProducts<Avx2, FusedMathOfX86<32>>;
#endif
    default: return kProducts<Portable, FusedMath>;
  }
}

template <>
const AttentionProducts<double>& attention_products(CpuLevel level) {
#if defined(__x86_64__)
  if (level >= CpuLevel::avx2) return kProducts<Avx2, SeparateMath<double>>;
#endif
  static_cast<void>(level);
  return kProducts<Portable, SeparateMath<double>>;
}

}  // namespace mquant
