#include "kernels/gemm_bf16.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <vector>

#include "support/rng.h"
#include "tests/unit/kernels/cpu_levels.h"

namespace mquant {
namespace {

TEST(GemmBf16, IsTheSumWhateverRowsStandBesideAndOnEveryProcessor) {
  for (const std::int64_t in : {1, 7, 32, 61, 200})
    for (const std::int64_t rows : {1, 3, 4, 9}) {
      const std::int64_t out = 5, stride = 8;
      Rng rng(static_cast<std::uint64_t>(in * 10 + rows));
      std::vector<float> x(static_cast<std::size_t>(rows * in));
      for (float& v : x) v = static_cast<float>(rng.uniform() * 2 - 1);
      std::vector<std::uint16_t> w(static_cast<std::size_t>(out * in));
      for (std::uint16_t& v : w)
        v = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(static_cast<float>(rng.uniform() * 2 - 1)) >> 16);
      const auto y = test::same_on_all_levels([&] {
        std::vector<float> result(static_cast<std::size_t>(rows * stride), 9.0F);
        gemm_bf16(x.data(), rows, w.data(), out, in, result.data(), stride);
        return result;
      });
      for (std::int64_t r = 0; r < rows; ++r) {
        std::vector<float> alone(static_cast<std::size_t>(out));
        gemm_bf16(x.data() + r * in, 1, w.data(), out, in, alone.data(), out);
        for (std::int64_t o = 0; o < stride; ++o) {
          const float found = y[static_cast<std::size_t>(r * stride + o)];
          if (o >= out) {
            ASSERT_EQ(found, 9.0F);
            continue;
          }
          double sum = 0, magnitudes = 0;
          for (std::int64_t i = 0; i < in; ++i) {
            const auto weight = static_cast<double>(
                std::bit_cast<float>(static_cast<std::uint32_t>(w[static_cast<std::size_t>(o * in + i)]) << 16));
            const double term = static_cast<double>(x[static_cast<std::size_t>(r * in + i)]) * weight;
            sum += term;
            magnitudes += std::abs(term);
          }
          ASSERT_NEAR(static_cast<double>(found), sum, 1e-6 * magnitudes + 1e-12);
          ASSERT_EQ(found, alone[static_cast<std::size_t>(o)]);
        }
      }
    }
}

}  // namespace
}  // namespace mquant
