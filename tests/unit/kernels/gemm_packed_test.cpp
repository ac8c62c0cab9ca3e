#include "kernels/gemm_packed.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "support/rng.h"
#include "tests/unit/kernels/cpu_levels.h"

namespace mquant {
namespace {

/// Rows and a weight of random codes, the largest magnitudes among them.
struct Product {
  Product(std::int64_t m, std::int64_t n, std::int64_t k, int bits) : rows(m), out(n), in(k) {
    Rng rng(static_cast<std::uint64_t>(m * 7919 + n * 31 + k + bits));
    const auto code = [&](int low, int high) {
      if (rng.next() % 4 == 0) return static_cast<std::int8_t>(rng.next() % 2 == 0 ? low : high);
      return static_cast<std::int8_t>(low + static_cast<int>(rng.next() % static_cast<std::uint64_t>(high - low + 1)));
    };
    weight_codes.resize(static_cast<std::size_t>(n * k));
    for (std::int8_t& c : weight_codes) c = bits == 4 ? code(-8, 7) : code(-127, 127);
    codes.resize(static_cast<std::size_t>(m * padded_inputs(k)));
    sums.resize(static_cast<std::size_t>(m));
    for (std::int64_t r = 0; r < m; ++r)
      for (std::int64_t i = 0; i < k; ++i) {
        std::int8_t& c = codes[static_cast<std::size_t>(r * padded_inputs(k) + i)];
        c = r == 0 ? std::int8_t{127} : code(-127, 127);
        sums[static_cast<std::size_t>(r)] += c;
      }
    weight = PackedWeight(weight_codes, n, k, bits);
  }

  CodeRows a() const { return {codes.data(), sums.data(), rows}; }
  std::int32_t naive(std::int64_t r, std::int64_t o) const {
    std::int32_t sum = 0;
    for (std::int64_t i = 0; i < in; ++i)
      sum += codes[static_cast<std::size_t>(r * padded_inputs(in) + i)] *
             weight_codes[static_cast<std::size_t>(o * in + i)];
    return sum;
  }

  std::int64_t rows, out, in;
  std::vector<std::int8_t> weight_codes, codes;
  std::vector<std::int32_t> sums;
  PackedWeight weight;
};

void expect_naive_sums(const Product& p) {
  for (std::int64_t panel = 0; panel < p.weight.panels(); ++panel) {
    const auto got = test::same_on_all_levels([&] {
      GemmScratch scratch;
      std::vector<std::int32_t> sums(static_cast<std::size_t>(p.rows * kPanelOutputs), 77);
      panel_sums(p.a(), p.weight, panel, sums.data(), scratch);
      return sums;
    });
    for (std::int64_t r = 0; r < p.rows; ++r)
      for (std::int64_t o = 0; o < kPanelOutputs; ++o) {
        const std::int64_t output = panel * kPanelOutputs + o;
        ASSERT_EQ(got[static_cast<std::size_t>(r * kPanelOutputs + o)], output < p.out ? p.naive(r, output) : 0)
            << r << ", " << output;
      }
  }
}

void expect_defined_epilogue(const Product& p) {
  const std::int64_t m = p.rows, n = p.out;
  Rng rng(9);
  const auto uniform = [&](std::int64_t count) {
    std::vector<double> values(static_cast<std::size_t>(count));
    for (double& v : values) v = static_cast<double>(static_cast<float>(rng.uniform() * 0.02));
    return values;
  };
  const std::int64_t splits = 2;
  const std::vector<double> scale = uniform(n), row_scale = uniform(m), x = uniform(m * splits),
                            w = uniform(splits * n);
  std::vector<float> bias(static_cast<std::size_t>(n), 0.5F);
  bias[0] = -3.25F;
  const std::vector<double> other = uniform(n);
  const std::vector<ScaleRun> runs = {{m / 2, other.data()}, {m, scale.data()}};
  const Epilogue epilogue{runs, row_scale.data(), x.data(), w.data(), splits, bias.data()};
  const std::int64_t stride = n + 3;
  const auto got = test::same_on_all_levels([&] {
    GemmScratch scratch;
    std::vector<float> y(static_cast<std::size_t>(m * stride), -1.0F);
    for (std::int64_t panel = 0; panel < p.weight.panels(); ++panel)  // a thread's share may be one panel
      gemm_packed(p.a(), p.weight, panel, panel + 1, epilogue, y.data(), stride, scratch);
    return y;
  });
  for (std::int64_t r = 0; r < m; ++r)
    for (std::int64_t o = 0; o < stride; ++o) {
      double value = -1;
      if (o < n) {
        const auto at = static_cast<std::size_t>(o);
        value = static_cast<double>(p.naive(r, o)) * (row_scale[static_cast<std::size_t>(r)] * (r < m / 2 ? other : scale)[at]);
        for (std::int64_t s = 0; s < splits; ++s)
          value += x[static_cast<std::size_t>(r * splits + s)] * w[static_cast<std::size_t>(s * n + o)];
        value += static_cast<double>(bias[at]);
      }
      ASSERT_EQ(got[static_cast<std::size_t>(r * stride + o)], static_cast<float>(value)) << r << ", " << o;
    }
}

// Inputs around groups and the runs that are unpacked at a time.
constexpr std::int64_t kInputs[] = {1, 4, 31, 32, 33, 100, 1025, 2100};

class GemmPacked : public testing::TestWithParam<std::tuple<int, int>> {
 protected:
  template <class Check>
  void for_all(Check&& check) {
    const auto [m, n] = GetParam();
    for (const int bits : {4, 8})
      for (const std::int64_t k : kInputs) {
        SCOPED_TRACE(testing::Message() << m << " x " << n << " x " << k << ", " << bits << " bits");
        check(Product(m, n, k, bits));
        if (HasFatalFailure()) return;
      }
  }
};

TEST_P(GemmPacked, SumsAreThoseOfTheNaiveLoopOnEveryProcessor) { for_all(expect_naive_sums); }
TEST_P(GemmPacked, TheEpilogueIsItsDefinition) { for_all(expect_defined_epilogue); }

// Rows around the tiles and the few that skip unpacking.
INSTANTIATE_TEST_SUITE_P(Shapes, GemmPacked,
                         testing::Combine(testing::Values(1, 2, 3, 4, 5, 6, 7, 13, 25),
                                          testing::Values(1, 33, 70)));

TEST(GemmPackedScale, OfTheClassInTheChannelScaleGivesTheSameBits) {
  const Product p(9, 40, 300, 4);
  Rng rng(4);
  std::vector<double> scale(40), folded(40), row_scale(9, static_cast<double>(0.0123F));
  for (std::size_t o = 0; o < scale.size(); ++o) {
    scale[o] = static_cast<double>(static_cast<float>(rng.uniform()));
    folded[o] = scale[o] * row_scale[0];
  }
  GemmScratch scratch;
  std::vector<float> gathered(9 * 40), segment(9 * 40);
  const ScaleRun apart{9, scale.data()}, in_one{9, folded.data()};
  gemm_packed(p.a(), p.weight, 0, 2, {.runs = {&apart, 1}, .row_scale = row_scale.data()}, gathered.data(), 40,
              scratch);
  gemm_packed(p.a(), p.weight, 0, 2, {.runs = {&in_one, 1}}, segment.data(), 40, scratch);
  EXPECT_EQ(gathered, segment);
}

TEST(GemmPackedSums, TheLongestSumDoesNotOverflow) {
  constexpr std::int64_t kIn = 131071;
  const std::vector<std::int8_t> weight(kIn, 127);
  std::vector<std::int8_t> row(static_cast<std::size_t>(padded_inputs(kIn)), 0);
  std::fill_n(row.begin(), kIn, std::int8_t{127});
  const std::int32_t sum = 127 * kIn;
  const PackedWeight packed(weight, 1, kIn, 8);
  const auto got = test::same_on_all_levels([&] {
    GemmScratch scratch;
    std::vector<std::int32_t> sums(kPanelOutputs);
    panel_sums({row.data(), &sum, 1}, packed, 0, sums.data(), scratch);
    return sums;
  });
  EXPECT_EQ(got[0], 127 * 127 * kIn);
}

}  // namespace
}  // namespace mquant
