#include "kernels/gemm_int8.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "mquant/error.h"
#include "support/rng.h"
#include "tests/unit/kernels/cpu_levels.h"

namespace mquant {
namespace {

std::vector<std::int8_t> random_codes(std::int64_t n, int low, int high, std::uint64_t seed) {
  Rng rng(seed);
  std::vector<std::int8_t> codes(static_cast<std::size_t>(n));
  for (std::int8_t& code : codes)
    code = static_cast<std::int8_t>(
        low + static_cast<int>(rng.next() % static_cast<std::uint64_t>(high - low + 1)));
  return codes;
}

struct Shape {
  std::int64_t m, n, k;
};

std::vector<std::int32_t> naive(const std::vector<std::int8_t>& a, const std::vector<std::int8_t>& b,
                                const Shape& s) {
  std::vector<std::int32_t> c(static_cast<std::size_t>(s.m * s.n));
  for (std::int64_t i = 0; i < s.m; ++i)
    for (std::int64_t j = 0; j < s.n; ++j)
      for (std::int64_t t = 0; t < s.k; ++t)
        c[static_cast<std::size_t>(i * s.n + j)] +=
            a[static_cast<std::size_t>(i * s.k + t)] * b[static_cast<std::size_t>(j * s.k + t)];
  return c;
}

class GemmInt8 : public testing::TestWithParam<Shape> {};

TEST_P(GemmInt8, IsTheNaiveLoopOnEveryProcessor) {
  const auto [m, n, k] = GetParam();
  const auto a = random_codes(m * k, -127, 127, 1), b = random_codes(n * k, -128, 127, 2);
  const auto got = test::same_on_all_levels([&] {
    std::vector<std::int32_t> c(static_cast<std::size_t>(m * n), 12345);
    gemm_s8(a.data(), b.data(), c.data(), m, n, k, n);
    return c;
  });
  EXPECT_EQ(got, naive(a, b, GetParam()));
}

TEST_P(GemmInt8, CodesOfInt4RangeAreExactToo) {  // where bytes are multiplied as bytes
  const auto [m, n, k] = GetParam();
  auto a = random_codes(m * k, -127, 127, 5), b = random_codes(n * k, -8, 7, 6);
  for (std::int64_t i = 0; i < std::min<std::int64_t>(k, 300);
       ++i) {  // the largest sums of a few terms, both signs
    if (m > 0) a[static_cast<std::size_t>(i)] = -128;
    b[static_cast<std::size_t>(i)] = i < 150 ? 7 : -8;
  }
  const auto got = test::same_on_all_levels([&] {
    std::vector<std::int32_t> c(static_cast<std::size_t>(m * n), 12345);
    gemm_s8(a.data(), b.data(), c.data(), m, n, k, n);
    return c;
  });
  EXPECT_EQ(got, naive(a, b, GetParam()));
}

INSTANTIATE_TEST_SUITE_P(Sizes, GemmInt8,
                         testing::Values(Shape{1, 1, 1}, Shape{1, 17, 33}, Shape{3, 5, 0}, Shape{0, 4, 8},
                                         Shape{5, 40, 100}, Shape{8, 16, 256}, Shape{9, 16, 257},
                                         Shape{13, 33, 259}, Shape{24, 64, 512}, Shape{31, 47, 515},
                                         Shape{727, 18, 66}, Shape{50, 70, 1023}),
                         [](const auto& tested) {
                           return "m" + std::to_string(tested.param.m) + "n" +
                                  std::to_string(tested.param.n) + "k" + std::to_string(tested.param.k);
                         });

TEST(GemmInt8, LeavesTheColumnsBetweenRowsAlone) {
  constexpr std::int64_t kRows = 20, kColumns = 19, kStride = 25, kDepth = 70;
  const auto a = random_codes(kRows * kDepth, -127, 127, 5),
             b = random_codes(kColumns * kDepth, -127, 127, 6);
  const auto expected = naive(a, b, {kRows, kColumns, kDepth});
  const auto c = test::same_on_all_levels([&] {
    std::vector<std::int32_t> out(kRows * kStride, -7);
    gemm_s8(a.data(), b.data(), out.data(), kRows, kColumns, kDepth, kStride);
    return out;
  });
  for (std::size_t i = 0; i < kRows; ++i)
    for (std::size_t j = 0; j < kStride; ++j)
      EXPECT_EQ(c[i * kStride + j], j < kColumns ? expected[i * kColumns + j] : -7);
}

TEST(GemmInt8, LongestSumOfExtremeCodesIsExact) {
  for (const std::int64_t m : {1, 12}) {
    const std::vector<std::int8_t> a(static_cast<std::size_t>(m * kLongestInt8Sum), -128);
    const std::vector<std::int8_t> b(static_cast<std::size_t>(kLongestInt8Sum), -128);
    const auto c = test::same_on_all_levels([&] {
      std::vector<std::int32_t> out(static_cast<std::size_t>(m));
      gemm_s8(a.data(), b.data(), out.data(), m, 1, kLongestInt8Sum, 1);
      return out;
    });
    for (const std::int32_t sum : c) EXPECT_EQ(sum, kLongestInt8Sum * 128 * 128);
  }
}

TEST(GemmInt8, SumsThatMightOverflowAreRefused) {
  const std::vector<std::int8_t> row(static_cast<std::size_t>(kLongestInt8Sum + 1));
  std::int32_t c = 0;
  EXPECT_THROW(gemm_s8(row.data(), row.data(), &c, 1, 1, kLongestInt8Sum + 1, 1), Error);
}

}  // namespace
}  // namespace mquant
