#include "kernels/feedback.h"

#include <vector>

#include "kernels/cpu.h"
#include "kernels/multiply_add.h"
#include "kernels/nearest_code.h"
#include "kernels/vector.h"
#include "mquant/error.h"

namespace mquant {
namespace {

/// The block, and its factor's columns side by side, as the sums read them: [columns, columns].
struct Problem {
  const FeedbackBlock& block;
  const float* columns;
  float low, high;
};

/// Count vectors of rows beside each other, lane by lane on their own.
template <class Math, int Count>
struct Rows {
  static constexpr std::size_t kBytes = Math::bytes;
  static constexpr std::int64_t kLanes = VectorOf<float, kBytes>::lanes;
  using V = Vector<float, kBytes>;
  using Doubles = Vector<double, 2 * kBytes>;
  using Integers = Vector<std::int32_t, kBytes>;
  using Codes = Vector<std::int8_t, kBytes / 4>;

  [[gnu::always_inline]] static inline void run(const Problem& p, std::int64_t first) {
    for (std::int64_t a = p.block.columns - 1; a >= 0; --a) {
      V sum[Count];
      add_errors(p, first, a, sum);
#pragma GCC unroll 4
      for (int v = 0; v < Count; ++v) round(p, first + v * kLanes, a, sum[v]);
    }
  }

 private:
  [[gnu::always_inline]] static inline void add_errors(const Problem& p, std::int64_t first, std::int64_t a,
                                                       V (&sum)[Count]) {
    const FeedbackBlock& block = p.block;
#pragma GCC unroll 4
    for (int v = 0; v < Count; ++v)
      sum[v] = load<float, kBytes>(block.pending + a * block.rows + first + v * kLanes);
    const float* factor = p.columns + a * block.columns;
    for (std::int64_t b = block.columns - 1; b > a; --b) {
      const V entry = Math::broadcast(factor[b]);
      const float* errors = block.values + b * block.rows + first;
#pragma GCC unroll 4
      for (int v = 0; v < Count; ++v)
        Math::add_product(sum[v], entry, load<float, kBytes>(errors + v * kLanes));
    }
  }

  [[gnu::always_inline]] static inline void round(const Problem& p, std::int64_t row, std::int64_t a,
                                                  const V& sum) {
    const FeedbackBlock& block = p.block;
    const float pivot = p.columns[a * block.columns + a];
    float* at = block.values + a * block.rows + row;
    const V scale = load<float, kBytes>(block.scales + row), value = load<float, kBytes>(at);
    const V target = value + sum / pivot;
    const V code = nearest_code<kBytes>(target / scale, p.low, p.high);
    store<float, kBytes>(at, value - code * scale);
    store<std::int8_t, kBytes / 4>(block.codes + a * block.rows + row,
                                   __builtin_convertvector(__builtin_convertvector(code, Integers), Codes));
    const Doubles miss = __builtin_convertvector(target - code * scale, Doubles) * static_cast<double>(pivot);
    store<double, 2 * kBytes>(block.loss + row, load<double, 2 * kBytes>(block.loss + row) + miss * miss);
  }
};

template <class Math>
[[gnu::always_inline]] inline void feedback_body(const Problem& p) {
  constexpr int kTogether = 4;  // what hides the latency of the sums
  constexpr std::int64_t kLanes = VectorOf<float, Math::bytes>::lanes;
  std::int64_t first = 0;
  for (; first + kTogether * kLanes <= p.block.rows; first += kTogether * kLanes)
    Rows<Math, kTogether>::run(p, first);
  for (; first < p.block.rows; first += kLanes) Rows<Math, 1>::run(p, first);
}

void feedback_portable(const Problem& p) { feedback_body<FusedMath>(p); }
#if defined(__x86_64__)
[[gnu::target("avx2,fma")]] void feedback_avx2(const Problem& p) { feedback_body<FusedMathOfX86<32>>(p); }
[[gnu::target("avx512f,avx512bw,avx512dq,avx512vl")]] void feedback_avx512(const Problem& p) {
  feedback_body<FusedMathOfX86<64>>(p);
}
#endif

}  // namespace

void round_with_feedback(const FeedbackBlock& block, const CodeRange& range) {
  require(block.rows % kFeedbackRows == 0, "rounding with feedback: ", block.rows, " rows");
  std::vector<float> columns(static_cast<std::size_t>(block.columns * block.columns));
  for (std::int64_t b = 0; b < block.columns; ++b)
    for (std::int64_t a = 0; a <= b; ++a)
      columns[static_cast<std::size_t>(a * block.columns + b)] = block.factor[b * block.factor_stride + a];
  const Problem problem{block, columns.data(), static_cast<float>(range.low), static_cast<float>(range.high)};
  auto* run = feedback_portable;
#if defined(__x86_64__)
  if (cpu_level() == CpuLevel::avx2) run = feedback_avx2;
  if (cpu_level() == CpuLevel::avx512) run = feedback_avx512;
#endif
  run(problem);
}

}  // namespace mquant
