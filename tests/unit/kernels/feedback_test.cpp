#include "kernels/feedback.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "mquant/error.h"
#include "support/rng.h"
#include "tests/unit/kernels/cpu_levels.h"

namespace mquant {
namespace {

constexpr std::size_t kColumns = 37;

std::vector<float> random_values(std::size_t n, std::uint64_t seed) {
  Rng rng(seed);
  std::vector<float> values(n);
  for (float& value : values) value = static_cast<float>(rng.uniform() * 2 - 1);
  return values;
}

/// What becomes of a block, or of one row of it: [kColumns, rows].
struct Rounded {
  std::vector<float> errors;
  std::vector<std::int8_t> codes;
  std::vector<double> loss;
  bool operator==(const Rounded&) const = default;
};

/// The same by plain loops over one row: errors are pushed to the columns to come.
Rounded naive(std::vector<float> pending, const std::vector<float>& factor, std::vector<float> w,
              float scale) {
  const auto n = w.size();
  Rounded result{std::vector<float>(n), std::vector<std::int8_t>(n), {0.0}};
  for (std::size_t a = n; a-- > 0;) {
    const float target = w[a] + pending[a] / factor[a * n + a];
    const float code = std::clamp(std::nearbyint(target / scale), -8.0F, 7.0F);
    result.codes[a] = static_cast<std::int8_t>(code);
    result.errors[a] = w[a] - code * scale;
    const double miss = double(target - code * scale) * double(factor[a * n + a]);
    result.loss[0] += miss * miss;
    for (std::size_t b = 0; b < a; ++b)
      pending[b] = std::fma(result.errors[a], factor[a * n + b], pending[b]);
  }
  return result;
}

class Feedback : public testing::TestWithParam<std::int64_t> {};

TEST_P(Feedback, IsTheNaiveLoopOnEveryProcessor) {
  const auto rows = static_cast<std::size_t>(GetParam());
  auto factor = random_values(kColumns * kColumns, 1);
  for (std::size_t i = 0; i < kColumns; ++i)
    factor[i * kColumns + i] = 1.0F + std::abs(factor[i * kColumns + i]);
  const auto pending = random_values(rows * kColumns, 2), w = random_values(rows * kColumns, 3);
  auto scales = random_values(rows, 4);
  for (float& scale : scales) scale = 0.05F + 0.1F * std::abs(scale);
  const Rounded got = test::same_on_all_levels([&] {
    Rounded result{w, std::vector<std::int8_t>(w.size()), std::vector<double>(rows)};
    round_with_feedback({.rows = GetParam(),
                         .columns = kColumns,
                         .pending = pending.data(),
                         .factor = factor.data(),
                         .factor_stride = kColumns,
                         .values = result.errors.data(),
                         .codes = result.codes.data(),
                         .scales = scales.data(),
                         .loss = result.loss.data()},
                        code_range(4));
    return result;
  });
  for (std::size_t r = 0; r < rows; ++r) {
    const auto row = [&](const auto& x) {
      auto values = std::vector(x.begin(), x.begin() + kColumns);
      for (std::size_t a = 0; a < kColumns; ++a) values[a] = x[a * rows + r];
      return values;
    };
    const Rounded expected = naive(row(pending), factor, row(w), scales[r]);
    EXPECT_EQ(row(got.errors), expected.errors) << r;
    EXPECT_EQ(row(got.codes), expected.codes) << r;
    EXPECT_DOUBLE_EQ(got.loss[r], expected.loss[0]) << r;
  }
}

INSTANTIATE_TEST_SUITE_P(Rows, Feedback, testing::Values(16, 64, 112));

TEST(FeedbackRows, ThatFillNoVectorAreOurBug) {
  EXPECT_THROW(round_with_feedback({.rows = 17, .columns = 1}, code_range(4)), Error);
}

}  // namespace
}  // namespace mquant
