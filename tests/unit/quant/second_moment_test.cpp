#include "quant/second_moment.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "kernels/cpu.h"
#include "mquant/error.h"
#include "support/rng.h"
#include "tests/unit/quant/layers.h"

namespace mquant {
namespace {

using Values = std::vector<std::int64_t>;

std::vector<std::int8_t> random_codes(std::int64_t rows, std::int64_t width, std::uint64_t seed) {
  Rng rng(seed);
  std::vector<std::int8_t> codes(static_cast<std::size_t>(rows * width));
  for (std::int8_t& code : codes) code = static_cast<std::int8_t>(static_cast<int>(rng.next() % 255) - 127);
  return codes;
}

/// Rows of two classes, in runs of `run` rows.
struct Samples {
  std::int64_t rows = 2300, width = 230;
  std::vector<std::int8_t> codes = random_codes(2300, 230, 1);
  static std::int64_t multiplier(std::int64_t row) { return row % 7 < 2 ? 5 : 3; }
};

Values values_of(CodeMoments& moments) {
  const std::span<const std::int64_t> values = moments.values();
  return {values.begin(), values.end()};
}

/// @param rows_a_call  at most: a call has one multiplier
CodeMoments moments_of(const Samples& s, std::int64_t begin, std::int64_t end, std::int64_t rows_a_call) {
  CodeMoments moments(s.width);
  for (std::int64_t r = begin; r < end;) {
    std::int64_t next = r + 1;
    while (next < end && next < r + rows_a_call && s.multiplier(next) == s.multiplier(r)) ++next;
    moments.add(s.codes.data() + r * s.width, next - r, s.width, s.multiplier(r));
    r = next;
  }
  return moments;
}

TEST(CodeMoments, AreTheWeightedSumsOfProducts) {
  const Samples s;
  CodeMoments moments = moments_of(s, 0, s.rows, 100);
  EXPECT_EQ(moments.rows(), s.rows);
  EXPECT_EQ(moments.width(), s.width);
  for (const std::int64_t i : {0, 1, 47, 48, 191, 192, 229})
    for (std::int64_t j = 0; j < s.width; ++j) {
      std::int64_t sum = 0;
      for (std::int64_t r = 0; r < s.rows; ++r)
        sum += s.multiplier(r) * s.codes[static_cast<std::size_t>(r * s.width + i)] *
               s.codes[static_cast<std::size_t>(r * s.width + j)];
      ASSERT_EQ(moments.entry(i, j), sum) << i << ", " << j;
      ASSERT_EQ(moments.entry(j, i), sum) << i << ", " << j;
    }
}

TEST(CodeMoments, BitsDoNotDependOnCallsOrderThreadsOrProcessor) {
  const Samples s;
  const auto run = [&](std::int64_t rows) {
    CodeMoments moments = moments_of(s, 0, s.rows, rows);
    return values_of(moments);
  };
  const Values expected = test::with_threads(1, [&] { return run(s.rows); });
  EXPECT_EQ(test::with_threads(3, [&] { return run(1); }), expected);
  CodeMoments parts = moments_of(s, 900, s.rows, 50);
  parts.merge(moments_of(s, 0, 900, 1000));
  EXPECT_EQ(parts.rows(), s.rows);
  EXPECT_EQ(values_of(parts), expected);
  for (const CpuLevel level : {CpuLevel::portable, CpuLevel::avx2}) {
    if (level > best_cpu_level()) continue;
    set_cpu_level(level);
    EXPECT_EQ(run(s.rows), expected) << cpu_level_name(level);
  }
  set_cpu_level(best_cpu_level());
}

TEST(CodeMoments, ChunksThatNobodyCopiesAndThoseThatWaitAddUp) {
  const std::int64_t rows = 3 * kMomentRows + 17, width = 20, stride = 33;
  const auto codes = random_codes(rows, stride, 2);
  CodeMoments whole(width), cut(width);
  whole.add(codes.data(), rows, stride, 1);
  cut.add(codes.data(), 5, stride, 1);
  cut.add(codes.data() + 5 * stride, rows - 5, stride, 1);
  EXPECT_EQ(values_of(whole), values_of(cut));
  whole.add(codes.data(), 0, stride, 4);
  EXPECT_EQ(values_of(whole), values_of(cut));
}

ErrorKind kind_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.kind();
  }
  ADD_FAILURE() << "accepted";
  return ErrorKind::internal;
}

TEST(CodeMoments, SumThatMightOverflowIsRefusedBeforeItDoes) {
  constexpr std::int64_t kRows = 600000;  // almost what fits with the largest multiplier
  const std::vector<std::int8_t> codes(static_cast<std::size_t>(kRows), 127);
  const auto fits = std::numeric_limits<std::int64_t>::max() / kMostInt8Square / kMostMultiplier;
  CodeMoments moments(1);
  moments.add(codes.data(), fits, 1, kMostMultiplier);
  EXPECT_EQ(kind_of([&] { moments.add(codes.data(), 1, 1, kMostMultiplier); }), ErrorKind::unsupported);
  EXPECT_EQ(kind_of([&] { moments.merge(moments); }), ErrorKind::unsupported);
  EXPECT_EQ(moments.rows(), fits);
  EXPECT_EQ(moments.entry(0, 0), fits * kMostInt8Square * kMostMultiplier);
}

TEST(CodeMoments, OtherWidthsAndMultipliersAreOurBug) {
  CodeMoments moments(10);
  const auto codes = random_codes(1, 10, 3);
  EXPECT_EQ(kind_of([&] { moments.add(codes.data(), 1, 9, 1); }), ErrorKind::internal);
  EXPECT_EQ(kind_of([&] { moments.add(codes.data(), 1, 10, 0); }), ErrorKind::internal);
  EXPECT_EQ(kind_of([&] { moments.add(codes.data(), 1, 10, kMostMultiplier + 1); }), ErrorKind::internal);
  EXPECT_EQ(kind_of([&] { moments.merge(CodeMoments(11)); }), ErrorKind::internal);
}

double worst_error(const MomentWeights& got, const std::vector<double>& weights) {
  double worst = 0;
  for (std::size_t c = 0; c < weights.size(); ++c)
    worst = std::max(worst, std::abs(static_cast<double>(got.multipliers[c]) * got.unit / weights[c] - 1));
  return worst;
}

TEST(MomentWeights, AreTheSmallestMultiplesThatAreAccurate) {
  const std::vector<std::int64_t> rows = {1000, 1000, 1000};
  EXPECT_EQ(moment_weights(std::vector{0.7, 0.7, 0.7}, rows).multipliers,
            (std::vector<std::int64_t>{1, 1, 1}));
  EXPECT_EQ(moment_weights(std::vector{3e-5, 1e-5, 2e-5}, rows).multipliers,
            (std::vector<std::int64_t>{3, 1, 2}));
  EXPECT_EQ(moment_weights(std::vector{1.5, 1.0, 0.75}, rows).multipliers,
            (std::vector<std::int64_t>{6, 4, 3}));
  EXPECT_EQ(moment_weights(std::vector{4.2}, std::vector<std::int64_t>{5}).multipliers,
            std::vector<std::int64_t>{1});
}

TEST(MomentWeights, AreAccurateWhereTheRatioAllowsIt) {
  Rng rng(4);
  for (int i = 0; i < 200; ++i) {
    std::vector<double> weights;
    for (int c = 0; c < 3; ++c) weights.push_back(std::pow(10.0, rng.uniform() * 5 - 9));
    const MomentWeights got = moment_weights(weights, std::vector<std::int64_t>{5000, 100000, 10});
    EXPECT_LE(worst_error(got, weights), 1e-4);
    for (const std::int64_t m : got.multipliers) EXPECT_TRUE(m >= 1 && m <= kMostMultiplier) << m;
  }
}

TEST(MomentWeights, OfRatiosBeyondTheirReachAreTheLargestThatFit) {
  const std::vector<std::int64_t> rows = {100000, 100000, 100000};
  EXPECT_EQ(moment_weights(std::vector{1.0, 1e-7, 1.5e-7}, rows).multipliers,
            (std::vector<std::int64_t>{20000000, 2, 3}));
  EXPECT_EQ(moment_weights(std::vector{1.0, 4e-9, 5.4321e-9}, rows).multipliers,
            (std::vector<std::int64_t>{kMostMultiplier, 4, 6}));
  EXPECT_EQ(moment_weights(std::vector{1.0, 1e-12, 1e-3}, rows).multipliers,
            (std::vector<std::int64_t>{kMostMultiplier, 1, 1073742}));
}

TEST(MomentWeights, LeaveRoomForTheSumsOfAllRows) {
  for (const std::int64_t count : {std::int64_t{10'000'000}, std::int64_t{100'000'000'000}}) {
    const std::vector<std::int64_t> rows = {count, count, 3};
    const MomentWeights got = moment_weights(std::vector{1.0, 1.23456e-3, 1e-6}, rows);
    long double sum = 0;
    for (std::size_t c = 0; c < rows.size(); ++c)
      sum += static_cast<long double>(rows[c]) * static_cast<long double>(got.multipliers[c]);
    EXPECT_LE(sum, static_cast<long double>(std::numeric_limits<std::int64_t>::max() / kMostInt8Square));
    EXPECT_GT(got.multipliers[0], 1000);
  }
  EXPECT_EQ(
      kind_of([] { moment_weights(std::vector{1.0}, std::vector<std::int64_t>{std::int64_t{1} << 60}); }),
      ErrorKind::unsupported);
}

TEST(MomentWeights, NotPositiveOnesAreOurBug) {
  for (const double weight : {0.0, -1.0, HUGE_VAL, std::nan("")})
    EXPECT_EQ(kind_of([&] { moment_weights(std::vector{weight}, std::vector<std::int64_t>{1}); }),
              ErrorKind::internal);
}

}  // namespace
}  // namespace mquant
