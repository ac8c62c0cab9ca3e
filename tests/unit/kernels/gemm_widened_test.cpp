#include "kernels/gemm_widened.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <functional>
#include <vector>

#include "support/rng.h"
#include "tests/unit/kernels/cpu_levels.h"

namespace mquant {
namespace {

constexpr std::int64_t kOut = 5, kStride = 8;

/// A product of rows x with some weight, and the weight as numbers.
struct Product {
  std::function<void(const float* x, std::int64_t rows, float* y, std::int64_t stride)> run;
  std::function<double(std::int64_t o, std::int64_t i)> weight;
};

/// Is it the sum, whatever rows stand beside, on every processor, and nowhere else in y?
void expect_sums(const Product& product, std::int64_t rows, std::int64_t in, Rng& rng) {
  std::vector<float> x(static_cast<std::size_t>(rows * in));
  for (float& v : x) v = static_cast<float>(rng.uniform() * 2 - 1);
  const auto y = test::same_on_all_levels([&] {
    std::vector<float> result(static_cast<std::size_t>(rows * kStride), 9.0F);
    product.run(x.data(), rows, result.data(), kStride);
    return result;
  });
  for (std::int64_t r = 0; r < rows; ++r) {
    std::vector<float> alone(static_cast<std::size_t>(kOut));
    product.run(x.data() + r * in, 1, alone.data(), kOut);
    for (std::int64_t o = 0; o < kStride; ++o) {
      const float found = y[static_cast<std::size_t>(r * kStride + o)];
      if (o >= kOut) {
        ASSERT_EQ(found, 9.0F);
        continue;
      }
      double sum = 0, magnitudes = 0;
      for (std::int64_t i = 0; i < in; ++i) {
        const double term =
            static_cast<double>(x[static_cast<std::size_t>(r * in + i)]) * product.weight(o, i);
        sum += term;
        magnitudes += std::abs(term);
      }
      ASSERT_NEAR(static_cast<double>(found), sum, 1e-6 * magnitudes + 1e-12);
      ASSERT_EQ(found, alone[static_cast<std::size_t>(o)]);
    }
  }
}

class GemmWidened : public testing::TestWithParam<std::int64_t> {};

TEST_P(GemmWidened, Bfloat16IsTheSumWhateverRowsStandBesideAndOnEveryProcessor) {
  const std::int64_t in = GetParam();
  for (const std::int64_t rows : {1, 3, 4, 9}) {
    Rng rng(static_cast<std::uint64_t>(in * 10 + rows));
    std::vector<std::uint16_t> w(static_cast<std::size_t>(kOut * in));
    for (std::uint16_t& v : w)
      v = static_cast<std::uint16_t>(
          std::bit_cast<std::uint32_t>(static_cast<float>(rng.uniform() * 2 - 1)) >> 16);
    const Product product{[&](const float* x, std::int64_t n, float* y, std::int64_t stride) {
                            gemm_bf16(x, n, w.data(), kOut, in, y, stride);
                          },
                          [&](std::int64_t o, std::int64_t i) {
                            const std::uint32_t bits = w[static_cast<std::size_t>(o * in + i)];
                            return static_cast<double>(std::bit_cast<float>(bits << 16));
                          }};
    expect_sums(product, rows, in, rng);
  }
}

TEST_P(GemmWidened, CodesAreTheScaledSumWhateverRowsStandBesideAndOnEveryProcessor) {
  const std::int64_t in = GetParam();
  for (const std::int64_t rows : {1, 3, 4, 9}) {
    Rng rng(static_cast<std::uint64_t>(in * 10 + rows));
    std::vector<std::int8_t> w(static_cast<std::size_t>(kOut * in));
    for (std::int8_t& v : w) v = static_cast<std::int8_t>(static_cast<int>(rng.uniform() * 255) - 127);
    w.front() = -127;
    w.back() = 127;
    std::vector<float> scale(kOut);
    for (float& v : scale) v = static_cast<float>(0.001 + rng.uniform());
    const Product product{[&](const float* x, std::int64_t n, float* y, std::int64_t stride) {
                            gemm_f32_s8(x, n, w.data(), scale.data(), kOut, in, y, stride);
                          },
                          [&](std::int64_t o, std::int64_t i) {
                            return static_cast<double>(scale[static_cast<std::size_t>(o)]) *
                                   static_cast<double>(w[static_cast<std::size_t>(o * in + i)]);
                          }};
    expect_sums(product, rows, in, rng);
  }
}

INSTANTIATE_TEST_SUITE_P(Widths, GemmWidened, testing::Values(1, 7, 32, 61, 200));

}  // namespace
}  // namespace mquant
