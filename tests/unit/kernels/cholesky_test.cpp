#include "kernels/cholesky.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "support/rng.h"
#include "tests/unit/kernels/cpu_levels.h"

namespace mquant {
namespace {

/// A + n I of a random symmetric A: positive definite.
std::vector<float> positive_matrix(std::size_t n) {
  Rng rng(n);
  std::vector<float> a(n * n);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j <= i; ++j)
      a[i * n + j] = a[j * n + i] = static_cast<float>(rng.uniform() - 0.5);
    a[i * n + i] += static_cast<float>(n);
  }
  return a;
}

TEST(CholeskyTile, TimesItsTransposeIsTheTileAndTheUpperHalfStays) {
  for (const std::size_t n : {1U, 2U, 17U, 64U}) {
    const auto a = positive_matrix(n);
    auto l = a;
    ASSERT_TRUE(cholesky_tile(l.data(), std::int64_t(n), std::int64_t(n)));
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < n; ++j) {
        if (j > i) {
          ASSERT_EQ(l[i * n + j], a[i * n + j]);
          continue;
        }
        double sum = 0;
        for (std::size_t p = 0; p <= j; ++p) sum += double(l[i * n + p]) * double(l[j * n + p]);
        ASSERT_NEAR(sum, double(a[i * n + j]), 1e-5 * double(n));
      }
  }
}

TEST(CholeskyTile, PivotThatIsNotPositiveIsTold) {
  for (const float pivot : {0.0F, -1.0F, std::numeric_limits<float>::quiet_NaN()}) {
    auto a = positive_matrix(9);
    a[5 * 9 + 5] = pivot;
    EXPECT_FALSE(cholesky_tile(a.data(), 9, 9));
  }
}

TEST(CholeskyTile, SolvedRowsTimesTheFactorAreTheRowsOnEveryProcessor) {
  constexpr std::size_t kN = 45, kRows = 11, kStride = 50;
  auto l = positive_matrix(kN);
  ASSERT_TRUE(cholesky_tile(l.data(), kN, kN));
  Rng rng(3);
  std::vector<float> x(kRows * kStride);
  for (float& value : x) value = static_cast<float>(rng.uniform());
  const auto got = test::same_on_all_levels([&] {
    auto y = x;
    solve_tile(l.data(), kN, kN, y.data(), kStride, kRows);
    return y;
  });
  for (std::size_t r = 0; r < kRows; ++r)
    for (std::size_t j = 0; j < kStride; ++j) {
      double sum = 0;  // row r of got times L^T
      for (std::size_t p = 0; p <= j && j < kN; ++p)
        sum += double(got[r * kStride + p]) * double(l[j * kN + p]);
      ASSERT_NEAR(j < kN ? sum : double(got[r * kStride + j]), double(x[r * kStride + j]), 1e-4)
          << r << ", " << j;
    }
}

}  // namespace
}  // namespace mquant
