#include "quant/round_to_nearest.h"

#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/bfloat16.h"
#include "kernels/cpu.h"
#include "kernels/rounding.h"
#include "mquant/error.h"
#include "tests/unit/quant/layers.h"

namespace mquant {
namespace {

using test::kInt4;
using test::kInt8;

double norm_of_error(const at::Tensor& W, const QuantizedLinear& linear, std::int64_t row) {
  const at::Tensor error = (W - dequantized(linear)).select(0, row).to(at::kDouble).abs();
  return error.pow(kClipNorm).sum().item<double>();
}

/// A few large weights a row, as a rotation leaves none.
at::Tensor heavy_tailed(std::int64_t rows, std::int64_t columns) {
  return test::random_matrix(rows, columns, 3).pow(5) * 0.3;
}

TEST(RoundToNearest, ScaleWithoutClippingIsTheLargestWeightOverTheLastCode) {
  const at::Tensor W = test::random_matrix(5, 33, 1);
  for (const auto& [bits, steps] : {std::pair{4, 7.0F}, std::pair{8, 127.0F}}) {
    const auto scales = weight_scales(W, bits, {.search_clip = false, .scale_bits = 32});
    const auto stored = weight_scales(W, bits, {.search_clip = false, .scale_bits = 16});
    for (std::int64_t r = 0; r < 5; ++r) {
      const float most = W.select(0, r).abs().max().item<float>();
      EXPECT_FLOAT_EQ(scales[static_cast<std::size_t>(r)], most / steps);
      EXPECT_EQ(stored[static_cast<std::size_t>(r)], round_to_bfloat16(most / steps));
    }
  }
}

TEST(RoundToNearest, CodesAreNearestAndInRange) {
  const at::Tensor W = heavy_tailed(6, 101);
  for (const QuantScheme& scheme : {kInt4, kInt8})
    for (const bool clip : {false, true}) {
      const QuantizedLinear got = round_to_nearest(W, scheme, {.search_clip = clip});
      const CodeRange range = code_range(scheme.weight_bits);
      EXPECT_EQ(got.out, 6);
      EXPECT_EQ(got.in, 101);
      for (std::int64_t r = 0; r < 6; ++r)
        for (std::int64_t i = 0; i < 101; ++i) {
          const float w = W.select(0, r).select(0, i).item<float>(),
                      scale = got.weight_scale[static_cast<std::size_t>(r)];
          const int code = got.codes[static_cast<std::size_t>(r * 101 + i)];
          ASSERT_GE(code, range.low);
          ASSERT_LE(code, range.high);
          ASSERT_EQ(code, static_cast<int>(
                              std::clamp(std::nearbyint(w / scale), float(range.low), float(range.high))));
        }
    }
}

TEST(RoundToNearest, ClipSearchIsNeverWorseInItsOwnNormAndOftenBetter) {
  for (const QuantScheme& scheme : {kInt4, kInt8}) {
    const at::Tensor W = heavy_tailed(40, 200);
    const QuantizedLinear plain = round_to_nearest(W, scheme, {.search_clip = false}),
                          clipped = round_to_nearest(W, scheme, {.search_clip = true});
    int better = 0;
    for (std::int64_t r = 0; r < 40; ++r) {
      const double before = norm_of_error(W, plain, r), after = norm_of_error(W, clipped, r);
      EXPECT_LE(after, before * (1 + 1e-9)) << r;
      better += after < 0.9 * before ? 1 : 0;
    }
    EXPECT_GT(better, scheme.weight_bits == 4 ? 20 : -1);
  }
}

TEST(RoundToNearest, ClipSearchFindsWhatTryingAllCandidatesFinds) {
  for (const at::Tensor& W :
       {heavy_tailed(40, 300), test::random_matrix(40, 64, 5), test::random_matrix(40, 7, 6)})
    for (const int bits : {4, 8})
      for (const int scale_bits : {16, 32}) {
        const auto got = weight_scales(W, bits, {.scale_bits = scale_bits});
        for (std::int64_t r = 0; r < W.size(0); ++r) {
          const std::span<const float> row(W.const_data_ptr<float>() + r * W.size(1),
                                           static_cast<std::size_t>(W.size(1)));
          const CodeRange range = code_range(bits);
          const float most = W.select(0, r).abs().max().item<float>();
          float expected = 0;
          double least = 0;
          for (int i = 0; i < 80; ++i) {
            const float exact =
                most * (1.0F - static_cast<float>(i) / 100.0F) / static_cast<float>(range.high);
            const float scale = scale_bits == 16 ? round_to_bfloat16(exact) : exact;
            const double error = clip_error(row, scale, range, HUGE_VAL) * (i == 0 ? 1 - 1e-4 : 1.0);
            if (i > 0 && error >= least) continue;
            least = error;
            expected = scale;
          }
          ASSERT_EQ(got[static_cast<std::size_t>(r)], expected) << r << ", " << bits << " bits";
        }
      }
}

TEST(RoundToNearest, ClipErrorIsTheNormWithinItsBound) {
  const at::Tensor W = heavy_tailed(1, 777);
  const std::span<const float> row(W.data_ptr<float>(), 777);
  for (const float scale : {0.2F, 0.04F, 0.003F, 1e-12F})
    for (const int bits : {4, 8}) {
      double exact = 0;
      for (const float w : row) {
        const double code = std::clamp(std::nearbyint(double(w) / double(scale)),
                                       double(code_range(bits).low), double(code_range(bits).high));
        exact += std::pow(std::abs(double(w) - code * double(scale)), kClipNorm);
      }
      EXPECT_NEAR(clip_error(row, scale, code_range(bits), HUGE_VAL) / exact, 1.0, 1e-5)
          << scale << ", " << bits;
      EXPECT_TRUE(std::isinf(clip_error(row, scale, code_range(bits), exact / 2)));
    }
}

TEST(RoundToNearest, ZeroAndTinyRowsHaveUsableScales) {
  at::Tensor W = at::zeros({3, 8}, at::kFloat);
  W.select(0, 1).fill_(1e-42F);  // denormal
  W.select(0, 2).fill_(1e-20F);
  const QuantizedLinear got = round_to_nearest(W, kInt4, {});
  EXPECT_EQ(got.weight_scale[0], 1.0F);
  for (const float scale : got.weight_scale) EXPECT_GT(scale, 1e-31F);
  EXPECT_NE(got.codes[16], 0);
}

TEST(RoundToNearest, BytesDoNotDependOnThreadsOrProcessor) {
  const at::Tensor W = heavy_tailed(50, 131);
  const auto run = [&] { return round_to_nearest(W, kInt4, {}); };
  const QuantizedLinear one = test::with_threads(1, run), three = test::with_threads(3, run);
  set_cpu_level(CpuLevel::portable);
  const QuantizedLinear portable = run();
  set_cpu_level(best_cpu_level());
  EXPECT_EQ(one.codes, three.codes);
  EXPECT_EQ(one.weight_scale, three.weight_scale);
  EXPECT_EQ(one.codes, portable.codes);
  EXPECT_EQ(one.weight_scale, portable.weight_scale);
}

TEST(RoundToNearest, NanIsBadInput) {
  at::Tensor W = test::random_matrix(2, 4, 1);
  W.select(0, 1).select(0, 2).fill_(std::numeric_limits<float>::quiet_NaN());
  EXPECT_THROW(round_to_nearest(W, kInt4, {}), Error);
}

}  // namespace
}  // namespace mquant
