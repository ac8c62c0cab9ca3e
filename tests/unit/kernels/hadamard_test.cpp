#include "kernels/hadamard.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <vector>

#include "kernels/hadamard_matrix.h"
#include "mquant/error.h"
#include "support/rng.h"
#include "tests/unit/kernels/cpu_levels.h"

namespace mquant {
namespace {

/// H H^T == n I, in integers; row by row against all earlier ones.
void expect_hadamard(const std::vector<std::int8_t>& h, std::int64_t n) {
  ASSERT_EQ(std::ssize(h), n * n);
  for (const std::int8_t entry : h) ASSERT_TRUE(entry == 1 || entry == -1);
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < i; ++j)
      ASSERT_EQ(std::inner_product(h.begin() + i * n, h.begin() + i * n + n, h.begin() + j * n, 0), 0)
          << "rows " << i << ", " << j << " of order " << n;
}

TEST(HadamardMatrix, EveryPaleyOrderUpToTheLimitIsOne) {
  int count = 0, over_proper_powers = 0;
  for (std::int64_t order = 4; order <= kLargestHadamardFactor; order += 4) {
    if (!has_paley_matrix(order)) continue;
    ++count;
    over_proper_powers +=
        order == 28 || order == 52 || order == 344 || order == 244 ? 1 : 0;  // 3^3 5^2 7^3 3^5
    const auto h = paley_matrix(order);
    ASSERT_TRUE(h.has_value());
    expect_hadamard(*h, order);
    for (std::int64_t i = 0; i < order; ++i) {
      ASSERT_EQ((*h)[static_cast<std::size_t>(i)], 1);
      ASSERT_EQ((*h)[static_cast<std::size_t>(i * order)], 1);
    }
  }
  EXPECT_GT(count, 60);
  EXPECT_EQ(over_proper_powers, 4);
}

TEST(HadamardMatrix, OrdersWithoutOneAreSaidToHaveNone) {
  for (const std::int64_t order :
       {0, 1, 2, 3, 6, 92, 116, 156, 172, -4}) {  // the larger ones need other constructions
    EXPECT_FALSE(has_paley_matrix(order)) << order;
    EXPECT_FALSE(paley_matrix(order).has_value()) << order;
  }
}

TEST(HadamardMatrix, IsNotSymmetricInGeneral) {
  const auto h = *paley_matrix(12);
  EXPECT_NE(h[1 * 12 + 2], h[2 * 12 + 1]);
}

struct Width {
  std::int64_t size, block;
  std::vector<std::int64_t> orders;
  std::int64_t power;
};

TEST(HadamardPlan, EveryWidthOfTheKnownModelsHasItsFactors) {
  const std::vector<Width> widths = {
      {72, 72, {36}, 2},
      {80, 80, {20}, 4},
      {104, 104, {52}, 2},
      {112, 112, {28}, 4},
      {1024, 1024, {}, 1024},
      {4096, 4096, {}, 4096},
      {8192, 8192, {}, 8192},
      {1152, 1152, {12, 12}, 8},
      {1280, 1280, {20}, 64},
      {5120, 5120, {20}, 256},
      {1536, 1536, {12}, 128},
      {8960, 8960, {28, 20}, 16},
      {1664, 1664, {52}, 32},
      {1792, 1792, {28}, 64},
      {15360, 15360, {20, 12}, 64},
      {3584, 3584, {28}, 128},
      {14336, 14336, {28}, 512},
      {11008, 11008, {344}, 32},
      {18944, 18944, {148}, 128},
      {29568, 29568, {44, 28, 12}, 2},
      {4864, 4864, {76}, 64},
      {9728, 9728, {76}, 128},
      {17408, 17408, {68}, 256},
      {25600, 25600, {20, 20}, 64},
      {1408, 1408, {44}, 32},
      {3200, 3200, {20, 20}, 8},
      {12800, 12800, {20, 20}, 32},
      {160, 160, {20}, 8},
      {256, 256, {}, 256},
      {592, 592, {148}, 4},
      {640, 640, {20}, 32},
      {40, 40, {20}, 2},
      {48, 48, {12}, 4},
      {4304, 16, {}, 16},
      {13696, 128, {}, 128},
      {3420, 380, {380}, 1},
      {1, 1, {}, 1},
      {2, 2, {}, 2},
      {7, 1, {}, 1},
  };
  for (const Width& width : widths) {
    const HadamardPlan plan = plan_hadamard(width.size);
    std::vector<std::int64_t> orders;
    for (const auto& factor : plan.factors) orders.push_back(factor->order);
    EXPECT_EQ(plan.size, width.size);
    EXPECT_EQ(plan.block, width.block) << width.size;
    EXPECT_EQ(orders, width.orders) << width.size;
    EXPECT_EQ(plan.power, width.power) << width.size;
    const HadamardPlan again = plan_hadamard(plan.size, plan.block);
    EXPECT_EQ(again.factors, plan.factors) << width.size;
  }
}

TEST(HadamardPlan, ProductsOfFactorsAreHadamardMatrices) {
  for (const std::int64_t size : {1, 2, 4, 8, 12, 40, 48, 72, 80, 104, 112, 144, 160, 240, 592, 640, 1056}) {
    const HadamardPlan plan = plan_hadamard(size);
    ASSERT_EQ(plan.block, size);
    const auto h = hadamard_matrix(plan);
    expect_hadamard(h, size);
    for (std::int64_t i = 0; i < size; ++i) ASSERT_EQ(h[static_cast<std::size_t>(i * size)], 1);
  }
}

TEST(HadamardPlan, BlockThatDoesNotFitIsBadInput) {
  EXPECT_THROW(plan_hadamard(0), Error);
  EXPECT_THROW(plan_hadamard(std::int64_t{1} << 40), Error);
  EXPECT_THROW(plan_hadamard(96, 0), Error);
  EXPECT_THROW(plan_hadamard(96, 64), Error);
  EXPECT_THROW(plan_hadamard(96, 3), Error);
}

template <class T>
std::vector<T> random_rows(std::int64_t n, std::uint64_t seed) {
  Rng rng(seed);
  std::vector<T> x(static_cast<std::size_t>(n));
  for (T& value : x) value = static_cast<T>(rng.uniform() * 2 - 1);
  return x;
}

/// x D H / sqrt(block) by the dense matrix.
std::vector<double> dense(const std::vector<double>& x, const HadamardPlan& plan,
                          const std::vector<std::int8_t>& signs) {
  const auto h = hadamard_matrix(plan);
  const std::int64_t n = plan.block;
  std::vector<double> y(x.size());
  for (std::int64_t run = 0; run < std::ssize(x) / n; ++run)
    for (std::int64_t i = 0; i < n; ++i) {
      const std::int64_t at = run * n + i;
      const double sign = signs.empty() ? 1 : signs[static_cast<std::size_t>(at % plan.size)];
      for (std::int64_t j = 0; j < n; ++j)
        y[static_cast<std::size_t>(run * n + j)] += x[static_cast<std::size_t>(at)] * sign *
                                                    h[static_cast<std::size_t>(i * n + j)] /
                                                    std::sqrt(double(n));
    }
  return y;
}

class HadamardRows : public testing::TestWithParam<std::int64_t> {};

TEST_P(HadamardRows, IsTheDenseProductAndItsInverseUndoesIt) {
  const HadamardPlan plan = plan_hadamard(GetParam());
  constexpr std::int64_t kRows = 5;
  const auto x = random_rows<double>(kRows * plan.size, 1);
  for (const auto& signs : {std::vector<std::int8_t>{}, Rng(2).signs(static_cast<std::size_t>(plan.size))}) {
    std::vector<double> y = x;
    hadamard_rows(y.data(), kRows, plan, signs, Direction::forward);
    const auto expected = dense(x, plan, signs);
    for (std::size_t i = 0; i < y.size(); ++i) ASSERT_NEAR(y[i], expected[i], 1e-12) << i;
    hadamard_rows(y.data(), kRows, plan, signs, Direction::inverse);
    for (std::size_t i = 0; i < y.size(); ++i) ASSERT_NEAR(y[i], x[i], 1e-12) << i;
  }
}

TEST_P(HadamardRows, ProductOfInputAndWeightStays) {  // (x R)(W R)^T == x W^T: what folding relies on
  const HadamardPlan plan = plan_hadamard(GetParam());
  auto x = random_rows<double>(plan.size, 1), w = random_rows<double>(plan.size, 2);
  const double before = std::inner_product(x.begin(), x.end(), w.begin(), 0.0);
  const auto signs = Rng(3).signs(static_cast<std::size_t>(plan.size));
  hadamard_rows(x.data(), 1, plan, signs, Direction::forward);
  hadamard_rows(w.data(), 1, plan, signs, Direction::forward);
  EXPECT_NEAR(std::inner_product(x.begin(), x.end(), w.begin(), 0.0), before, 1e-11);
}

template <class T>
void expect_same_bits(const HadamardPlan& plan, Direction direction) {
  constexpr std::int64_t kRows = 3;
  const auto signs = Rng(4).signs(static_cast<std::size_t>(plan.size));
  const auto x = random_rows<T>(kRows * plan.size, 5);
  const auto together = test::same_on_all_levels([&] {
    std::vector<T> y = x;
    hadamard_rows(y.data(), kRows, plan, signs, direction);
    return y;
  });
  std::vector<T> alone = x;
  for (std::int64_t r = 0; r < kRows; ++r)
    hadamard_rows(alone.data() + r * plan.size, 1, plan, signs, direction);
  EXPECT_TRUE(alone == together) << "a row depends on its neighbours";
}

TEST_P(HadamardRows, BitsDoNotDependOnProcessorOrNeighbours) {
  const HadamardPlan plan = plan_hadamard(GetParam());
  for (const Direction direction : {Direction::forward, Direction::inverse}) {
    expect_same_bits<float>(plan, direction);
    expect_same_bits<double>(plan, direction);
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, HadamardRows,
                         testing::Values(1, 2, 4, 8, 16, 32, 64, 512, 12, 20, 24, 28, 36, 40, 72, 80, 104,
                                         112, 144, 240, 380, 592, 640, 688, 760, 1152, 1056, 4304, 13696));

TEST(HadamardRows, GathersTheMeanInTheFirstChannelOfABlock) {
  for (const std::int64_t size : {64, 72, 104, 592}) {
    std::vector<float> ones(static_cast<std::size_t>(size), 1.0F);
    hadamard_rows(ones.data(), 1, plan_hadamard(size), {}, Direction::forward);
    EXPECT_NEAR(ones[0], std::sqrt(static_cast<float>(size)), 1e-4F);
    for (std::size_t i = 1; i < ones.size(); ++i) EXPECT_NEAR(ones[i], 0.0F, 1e-5F);
  }
}

}  // namespace
}  // namespace mquant
