#include "quant/outliers.h"

#include <ATen/ops/from_blob.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/hadamard.h"
#include "mquant/error.h"
#include "quant/round_to_nearest.h"
#include "support/rng.h"
#include "tests/unit/quant/layers.h"

namespace mquant {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::int64_t> found(const at::Tensor& W, const OutlierOptions& options = {}) {
  return outlier_channels({{W}}, {}, options);
}

at::Tensor rotated(const at::Tensor& W, const std::vector<std::int8_t>& signs) {
  at::Tensor w = W.clone();
  hadamard_rows(w.data_ptr<float>(), w.size(0), plan_hadamard(w.size(1)), signs, Direction::forward);
  return w;
}

TEST(Outliers, PlainHadamardMakesOneOfChannelZeroWhereRowsHaveAMean) {
  for (const std::int64_t width : {256, 240, 592, 640, 1664}) {
    const at::Tensor W = test::random_matrix(32, width, 1) * 0.1 + 0.05;
    EXPECT_THAT(found(W), IsEmpty()) << width;
    EXPECT_THAT(found(rotated(W, {})), ElementsAre(0)) << width;
    EXPECT_THAT(found(rotated(W, Rng(2).signs(static_cast<std::size_t>(width)))), IsEmpty()) << width;
  }
}

TEST(Outliers, BlockDiagonalRotationHasOneInEachBlock) {
  const at::Tensor W = test::random_matrix(64, 3 * 428, 3) * 0.1 + 0.1;  // 428 = 4 * 107: blocks of order 12
  ASSERT_EQ(plan_hadamard(3 * 428).block, 12);
  const auto channels = found(rotated(W, {}), {.weight_ratio = 2, .limit = 1000});
  ASSERT_EQ(channels.size(), 107U);
  for (std::size_t i = 0; i < channels.size(); ++i) EXPECT_EQ(channels[i], static_cast<std::int64_t>(12 * i));
}

TEST(Outliers, LimitKeepsTheMostOutstanding) {
  at::Tensor W = test::random_matrix(8, 40, 4);
  for (const auto& [channel, size] : {std::pair{3, 10.0F}, std::pair{9, 30.0F}, std::pair{21, 20.0F}})
    W.select(1, channel).fill_(size);
  EXPECT_THAT(found(W), ElementsAre(3, 9, 21));
  EXPECT_THAT(found(W, {.limit = 2}), ElementsAre(9, 21));
  EXPECT_THAT(found(W, {.limit = 0}), IsEmpty());
  EXPECT_THAT(found(W, {.weight_ratio = 0}), IsEmpty());
}

TEST(Outliers, HalfOfTheChannelsAtMostStandOut) {
  // 60 channels of 80 have large weights or large inputs: each measure alone finds 30.
  at::Tensor W = test::random_matrix(8, 80, 10) * 0.001 + 1;
  std::vector<float> absmax(80, 1.0F);
  for (std::int64_t i = 0; i < 30; ++i) {
    W.select(1, i).fill_(10.0F);
    absmax[static_cast<std::size_t>(40 + i)] = i < 10 ? 30.0F : 5.0F;
  }
  const OutlierOptions options{.weight_ratio = 1.5, .activation_ratio = 1.5, .limit = 1000};
  const std::vector<std::int64_t> channels = outlier_channels({{W}}, absmax, options);
  ASSERT_EQ(channels.size(), 40U);
  for (std::int64_t i = 0; i < 40; ++i)
    EXPECT_EQ(channels[static_cast<std::size_t>(i)], i < 30 ? i : i + 10) << "the most outstanding ones";
  EXPECT_THAT(found(test::random_matrix(8, 1, 11), {.weight_ratio = 1, .limit = 1000}), IsEmpty());
  EXPECT_LE(found(test::random_matrix(8, 41, 12), {.weight_ratio = 1, .limit = 1000}).size(), 20U);
  EXPECT_THROW(found(W, {.weight_ratio = 0.5}), Error) << "less than the median does not stand out";
}

TEST(Outliers, ActivationsCountWhereAsked) {
  const at::Tensor W = test::random_matrix(8, 20, 5);
  std::vector<float> absmax(20, 1.0F);
  absmax[6] = 9;
  EXPECT_THAT(outlier_channels({{W}}, absmax, {}), IsEmpty());
  EXPECT_THAT(outlier_channels({{W}}, absmax, {.activation_ratio = 5}), ElementsAre(6));
  EXPECT_THAT(outlier_channels({{W}}, absmax, {.activation_ratio = 10}), IsEmpty());
}

TEST(Outliers, AnyLinearOfTheGroupCounts) {
  at::Tensor gate = test::random_matrix(8, 20, 6), up = test::random_matrix(12, 20, 7);
  up.select(1, 4).fill_(-50.0F);
  EXPECT_THAT(outlier_channels({{gate, up}}, {}, {}), ElementsAre(4));
}

SplitColumns split_of(at::Tensor& W, const std::vector<std::int64_t>& channels, bool quantized) {
  return make_splits({&W, 1}, channels, quantized).at(0);
}

TEST(Split, FloatColumnsAreExactForAnyChannels) {
  const at::Tensor original = test::random_matrix(9, 16, 8);
  at::Tensor W = original.clone();
  const SplitColumns split = split_of(W, {0, 5, 15}, /*quantized=*/false);
  EXPECT_THAT(split.channels, ElementsAre(0, 5, 15));
  ASSERT_EQ(split.values.size(), 27U);
  for (std::int64_t k = 0; k < 3; ++k) {
    const std::int64_t channel = split.channels[static_cast<std::size_t>(k)];
    EXPECT_EQ(W.select(1, channel).count_nonzero().item<std::int64_t>(), 0);
    for (std::int64_t r = 0; r < 9; ++r)
      EXPECT_EQ(split.values[static_cast<std::size_t>(k * 9 + r)],
                original.select(0, r).select(0, channel).item<float>());
  }
  EXPECT_EQ(W.count_nonzero().item<std::int64_t>(), 9 * 13);
}

TEST(Split, Int8ColumnsAreWithinHalfAStepAndTheWeightComesBack) {
  const at::Tensor original = test::random_matrix(9, 16, 9);
  at::Tensor W = original.clone();
  W.select(1, 2).mul_(40);
  const at::Tensor scaled = W.clone();
  const SplitColumns split = split_of(W, {2}, /*quantized=*/true);
  QuantizedLinear linear = round_to_nearest(W, test::kInt8, {});
  linear.split = split;
  const at::Tensor back = dequantized(linear);
  EXPECT_LE((back - scaled).select(1, 2).abs().max().item<float>(), split.weight_scale[0] / 2 * 1.001F);
  EXPECT_LT((back - scaled).abs().max().item<float>(), 0.2F);
}

TEST(Split, PartsOfOneMatrixAreItsRows) {
  const at::Tensor whole = test::random_matrix(9, 16, 13);
  for (const bool quantized : {true, false}) {
    at::Tensor joined = whole.clone();
    std::vector<at::Tensor> weights = {whole.narrow(0, 0, 4).clone(), whole.narrow(0, 4, 5).clone()};
    const SplitColumns expected = split_of(joined, {3, 8}, quantized);
    const std::vector<SplitColumns> parts = make_splits(weights, std::vector<std::int64_t>{3, 8}, quantized);
    ASSERT_EQ(parts.size(), 2U);
    for (const SplitColumns& part : parts) {
      EXPECT_EQ(part.channels, expected.channels);
      EXPECT_EQ(part.quantized, quantized);
      EXPECT_EQ(part.weight_scale, expected.weight_scale);
    }
    for (std::size_t k = 0; k < 2; ++k)
      for (std::size_t row = 0; row < 9; ++row) {
        const SplitColumns& part = parts[row < 4 ? 0 : 1];
        const std::size_t at = row < 4 ? k * 4 + row : k * 5 + row - 4, in_whole = k * 9 + row;
        if (quantized)
          EXPECT_EQ(part.codes.at(at), expected.codes.at(in_whole));
        else
          EXPECT_EQ(part.values.at(at), expected.values.at(in_whole));
      }
    EXPECT_TRUE(weights[0].equal(joined.narrow(0, 0, 4)) && weights[1].equal(joined.narrow(0, 4, 5)));
  }
}

}  // namespace
}  // namespace mquant
