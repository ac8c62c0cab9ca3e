#include "kernels/rope_rows.h"

#include <gtest/gtest.h>

#include <tuple>
#include <vector>

#include "mquant/error.h"
#include "support/rng.h"
#include "tests/unit/kernels/cpu_levels.h"

namespace mquant {
namespace {

constexpr std::size_t kRows = 5, kHeads = 3, kGap = 3;

std::vector<float> random_values(std::size_t n, std::uint64_t seed) {
  Rng rng(seed);
  std::vector<float> x(n);
  for (float& value : x) value = static_cast<float>(rng.uniform() * 2 - 1);
  return x;
}

/// Head dimension, how many of them turn, neighbours.
class RopeRowsTest : public testing::TestWithParam<std::tuple<std::size_t, std::size_t, bool>> {
 protected:
  std::size_t head_dim_ = std::get<0>(GetParam()), dims_ = std::get<1>(GetParam()), half_ = dims_ / 2;
  bool neighbours_ = std::get<2>(GetParam());
  std::size_t width_ = kHeads * head_dim_, stride_ = width_ + kGap;
  std::vector<float> x_ = random_values(kRows * stride_, 1), cos_ = random_values(kRows * half_, 2),
                     sin_ = random_values(kRows * half_, 3);

  void run(const float* x, float* out) const {
    const auto size = [](std::size_t n) { return static_cast<std::int64_t>(n); };
    rope_rows({x, out, cos_.data(), sin_.data(), kRows, kHeads, size(head_dim_), size(dims_), size(stride_),
               size(stride_), neighbours_});
  }

  std::vector<float> expected() const {
    std::vector<float> out = x_;
    for (std::size_t row = 0; row < kRows; ++row)
      for (std::size_t head = 0; head < kHeads; ++head)
        for (std::size_t j = 0; j < half_; ++j) {
          const std::size_t at = row * stride_ + head * head_dim_, first = at + (neighbours_ ? 2 * j : j),
                            second = first + (neighbours_ ? 1 : half_);
          const float cos = cos_[row * half_ + j], sin = sin_[row * half_ + j];
          const float ac = x_[first] * cos, bs = x_[second] * sin, bc = x_[second] * cos,
                      as = x_[first] * sin;
          out[first] = ac - bs;
          out[second] = bc + as;
        }
    return out;
  }
};

TEST_P(RopeRowsTest, IsTheNaiveLoopOnEveryProcessor) {
  const auto got = test::same_on_all_levels([&] {
    std::vector<float> out = x_;
    for (std::size_t row = 0; row < kRows; ++row)
      std::fill_n(out.begin() + static_cast<std::ptrdiff_t>(row * stride_), width_, -9.0F);
    run(x_.data(), out.data());
    return out;
  });
  EXPECT_EQ(got, expected());
}

TEST_P(RopeRowsTest, InPlaceIsTheSame) {
  std::vector<float> x = x_;
  run(x.data(), x.data());
  EXPECT_EQ(x, expected());
}

INSTANTIATE_TEST_SUITE_P(Shapes, RopeRowsTest,
                         testing::Combine(testing::Values(80, 37, 128), testing::Values(2, 36, 16),
                                          testing::Bool()));

TEST(RopeRows, MoreDimensionsThanAHeadHasAreRefused) {
  EXPECT_THROW(rope_rows({.rows = 1, .heads = 1, .head_dim = 8, .dims = 10}), Error);
  EXPECT_THROW(rope_rows({.rows = 1, .heads = 1, .head_dim = 8, .dims = 5}), Error);
}

}  // namespace
}  // namespace mquant
