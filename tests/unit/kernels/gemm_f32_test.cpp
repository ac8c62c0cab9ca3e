#include "kernels/gemm_f32.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "support/rng.h"
#include "tests/unit/kernels/cpu_levels.h"

namespace mquant {
namespace {

std::vector<float> random_values(std::int64_t n, std::uint64_t seed) {
  Rng rng(seed);
  std::vector<float> values(static_cast<std::size_t>(n));
  for (float& value : values) value = static_cast<float>(rng.uniform() * 2 - 1);
  return values;
}

struct Shape {
  std::int64_t m, n, k;
};

class GemmF32 : public testing::TestWithParam<Shape> {
 protected:
  void SetUp() override {
    const auto [m, n, k] = GetParam();
    a_ = random_values(m * k, 1);
    b_ = random_values(k * n, 2);
    c_ = random_values(m * n, 3);
  }

  std::vector<float> naive(float sign) const {
    const auto [m, n, k] = GetParam();
    std::vector<float> c = c_;
    for (std::int64_t i = 0; i < m; ++i)
      for (std::int64_t j = 0; j < n; ++j)
        for (std::int64_t p = 0; p < k; ++p)
          c[static_cast<std::size_t>(i * n + j)] =
              std::fma(sign * a_[static_cast<std::size_t>(i * k + p)],
                       b_[static_cast<std::size_t>(p * n + j)], c[static_cast<std::size_t>(i * n + j)]);
    return c;
  }

  std::vector<float> a_, b_, c_;
};

TEST_P(GemmF32, HasTheBitsOfTheNaiveLoopOnEveryProcessor) {
  const auto [m, n, k] = GetParam();
  for (const GemmSign sign : {GemmSign::add, GemmSign::subtract}) {
    const auto got = test::same_on_all_levels([&, m = m, n = n, k = k] {
      std::vector<float> c = c_;
      gemm_f32(c.data(), n, {a_.data(), k, 1}, {b_.data(), n, 1}, m, n, k, sign);
      return c;
    });
    EXPECT_EQ(got, naive(sign == GemmSign::add ? 1.0F : -1.0F));
  }
}

TEST_P(GemmF32, TransposedOperandsGiveTheSameBits) {
  const auto [m, n, k] = GetParam();
  std::vector<float> at(a_.size()), bt(b_.size());
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t p = 0; p < k; ++p)
      at[static_cast<std::size_t>(p * m + i)] = a_[static_cast<std::size_t>(i * k + p)];
  for (std::int64_t p = 0; p < k; ++p)
    for (std::int64_t j = 0; j < n; ++j)
      bt[static_cast<std::size_t>(j * k + p)] = b_[static_cast<std::size_t>(p * n + j)];
  std::vector<float> c = c_;
  gemm_f32(c.data(), n, {at.data(), 1, m}, {bt.data(), 1, k}, m, n, k);
  EXPECT_EQ(c, naive(1.0F));
}

TEST_P(GemmF32, SplittingColumnsOrTermsChangesNoBit) {
  const auto [m, n, k] = GetParam();
  std::vector<float> c = c_;
  const std::int64_t left = n / 3, front = k / 2;
  for (const auto& [begin, end] : {std::pair{std::int64_t{0}, left}, std::pair{left, n}})
    for (const auto& [p, q] : {std::pair{std::int64_t{0}, front}, std::pair{front, k}})
      gemm_f32(c.data() + begin, n, {a_.data() + p, k, 1}, {b_.data() + p * n + begin, n, 1}, m, end - begin,
               q - p);
  EXPECT_EQ(c, naive(1.0F));
}

INSTANTIATE_TEST_SUITE_P(Sizes, GemmF32,
                         testing::Values(Shape{1, 1, 1}, Shape{6, 16, 256}, Shape{7, 17, 257}, Shape{5, 3, 0},
                                         Shape{23, 70, 33}, Shape{195, 40, 300}, Shape{64, 128, 128}),
                         [](const auto& tested) {
                           return "m" + std::to_string(tested.param.m) + "n" +
                                  std::to_string(tested.param.n) + "k" + std::to_string(tested.param.k);
                         });

}  // namespace
}  // namespace mquant
