#include "kernels/norm_rows.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "mquant/error.h"
#include "support/rng.h"
#include "tests/unit/kernels/cpu_levels.h"

namespace mquant {
namespace {

std::vector<float> random_values(std::size_t n, std::uint64_t seed, double offset = 0) {
  Rng rng(seed);
  std::vector<float> x(n);
  for (float& value : x) value = static_cast<float>(rng.uniform() * 6 - 3 + offset);
  return x;
}

struct Norm {
  bool centred = false;
  std::vector<float> scale, shift;
  double eps = 1e-6;

  std::vector<float> operator()(const std::vector<float>& x, std::int64_t width) const {
    std::vector<float> out(x.size());
    const NormRows problem{.x = x.data(),
                           .out = out.data(),
                           .rows = std::ssize(x) / width,
                           .width = width,
                           .x_stride = width,
                           .out_stride = width,
                           .scale = scale.empty() ? nullptr : scale.data(),
                           .shift = shift.empty() ? nullptr : shift.data(),
                           .eps = eps};
    centred ? layer_norm_rows(problem) : rms_norm_rows(problem);
    return out;
  }

  /// By the formula, in double.
  double expected(const std::vector<float>& row, std::size_t i) const {
    double mean = 0, squares = 0;
    for (const float v : row) mean += static_cast<double>(v) / static_cast<double>(row.size());
    if (!centred) mean = 0;
    for (const float v : row) squares += (static_cast<double>(v) - mean) * (static_cast<double>(v) - mean);
    const double y = (row[i] - mean) / std::sqrt(squares / static_cast<double>(row.size()) + eps);
    return y * (scale.empty() ? 1.0 : scale[i]) + (shift.empty() ? 0.0 : shift[i]);
  }
};

class NormRowsTest : public testing::TestWithParam<bool> {
 protected:
  Norm norm(std::size_t width, bool scaled, bool shifted) const {
    return {GetParam(), scaled ? random_values(width, 2) : std::vector<float>{},
            shifted ? random_values(width, 3) : std::vector<float>{}};
  }
};

TEST_P(NormRowsTest, IsTheFormulaWithTheSameBitsOnEveryProcessor) {
  for (const std::size_t width : {1, 3, 8, 15, 16, 17, 31, 64, 100, 1536, 1545})
    for (const int with : {0, 1, 2, 3}) {
      const Norm n = norm(width, (with & 1) != 0, (with & 2) != 0);
      const auto x = random_values(width, width, 0.5);
      const auto got = test::same_on_all_levels([&] { return n(x, static_cast<std::int64_t>(width)); });
      for (std::size_t i = 0; i < width; ++i)
        ASSERT_NEAR(got[i], n.expected(x, i), 3e-6) << "width " << width << ", column " << i;
    }
}

TEST_P(NormRowsTest, LargeOffsetsAndTinyValuesLoseNothing) {
  Norm n = norm(77, false, false);
  n.eps = 0;
  for (const double offset : {0.0, 1e4}) {
    const auto x = random_values(77, 7, offset);
    const auto got = n(x, 77);
    for (std::size_t i = 0; i < x.size(); ++i) ASSERT_NEAR(got[i], n.expected(x, i), 1e-6);
  }
  auto tiny = random_values(77, 7);  // their squares are no floats any more
  for (float& v : tiny) v *= 1e-30F;
  const auto got = n(tiny, 77);
  for (std::size_t i = 0; i < tiny.size(); ++i) ASSERT_NEAR(got[i], n.expected(tiny, i), 1e-6);
}

TEST_P(NormRowsTest, RowIsTheSameWhereverItStandsAndInPlace) {
  const std::int64_t width = 37, rows = 5, stride = 41;
  const Norm n = norm(width, true, true);
  const auto x = random_values(rows * width, 9);
  const auto expected = n(x, width);
  std::vector<float> wide(static_cast<std::size_t>(rows * stride), -99.0F);
  for (std::int64_t r = 0; r < rows; ++r)  // in reverse
    std::copy_n(x.begin() + r * width, width, wide.begin() + (rows - 1 - r) * stride);
  NormRows problem{wide.data(), wide.data(),    rows,           width, stride,
                   stride,      n.scale.data(), n.shift.data(), n.eps};
  n.centred ? layer_norm_rows(problem) : rms_norm_rows(problem);
  std::vector<float> row(static_cast<std::size_t>(width));
  for (std::int64_t r = 0; r < rows; ++r) {
    const auto at = wide.begin() + (rows - 1 - r) * stride;
    EXPECT_TRUE(std::equal(at, at + width, expected.begin() + r * width)) << r;
    EXPECT_EQ(std::count(at + width, at + stride, -99.0F), stride - width) << "the gap after row " << r;
    (n.centred ? layer_norm_row : rms_norm_row)(x.data() + r * width, width, n.scale.data(), n.shift.data(),
                                                n.eps, row.data());
    EXPECT_TRUE(std::equal(row.begin(), row.end(), at)) << r;
  }
}

TEST_P(NormRowsTest, NanAndInfinityAreNotHidden) {
  for (const std::size_t at : {0, 20, 34}) {
    auto x = random_values(35, 4);
    x[at] = std::numeric_limits<float>::quiet_NaN();
    for (const float v : norm(35, true, true)(x, 35)) EXPECT_TRUE(std::isnan(v));
    x[at] = -std::numeric_limits<float>::infinity();
    EXPECT_TRUE(std::isnan(norm(35, true, true)(x, 35)[at]));
  }
}

TEST_P(NormRowsTest, WidthOfNothingIsRefused) {
  const NormRows problem{.rows = 1, .width = 0};
  EXPECT_THROW(GetParam() ? layer_norm_rows(problem) : rms_norm_rows(problem), Error);
}

INSTANTIATE_TEST_SUITE_P(Kinds, NormRowsTest, testing::Bool(),
                         [](const auto& kind) { return kind.param ? "layer" : "rms"; });

}  // namespace
}  // namespace mquant
