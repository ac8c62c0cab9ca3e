#include "kernels/attention.h"

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

template <class T>
struct Case {
  std::int64_t rows, keys, heads, kv_heads, dim;
  std::vector<T> q, k, v;
  std::vector<KeyRange> ranges;

  Case(std::int64_t rows_, std::int64_t keys_, std::int64_t heads_, std::int64_t kv_heads_, std::int64_t dim_)
      : rows(rows_), keys(keys_), heads(heads_), kv_heads(kv_heads_), dim(dim_) {
    Rng rng(11);
    const auto fill = [&](std::vector<T>& x, std::int64_t n) {
      x.resize(static_cast<std::size_t>(n));
      for (T& value : x) value = static_cast<T>(rng.uniform() * 4 - 2);
    };
    fill(q, rows * heads * dim);
    fill(k, keys * kv_heads * dim);
    fill(v, keys * kv_heads * dim);
    for (std::int64_t i = 0; i < rows; ++i) {  // causal, windows, nothing, everything, one key
      const std::int64_t seen = std::min(keys, i * keys / rows + 1);
      const KeyRange choices[5] = {
          {0, seen}, {seen / 2, seen}, {seen / 3, seen / 3}, {0, keys}, {seen - 1, seen}};
      ranges.push_back(choices[rng.next() % 5]);
    }
  }

  AttentionRows<T> problem(std::vector<T>& out) const {
    out.assign(q.size(), T{-99});
    return {.queries = q.data(),
            .keys = k.data(),
            .values = v.data(),
            .out = out.data(),
            .query_stride = heads * dim,
            .key_stride = kv_heads * dim,
            .value_stride = kv_heads * dim,
            .out_stride = heads * dim,
            .key_count = keys,
            .heads = heads,
            .kv_heads = kv_heads,
            .head_dim = dim,
            .scale = static_cast<T>(1 / std::sqrt(static_cast<double>(dim))),
            .ranges = ranges};
  }

  std::vector<T> attend() const {
    std::vector<T> out;
    const auto p = problem(out);
    attend_rows(p, {0, kv_heads, 0, rows});
    return out;
  }

  std::vector<double> naive() const {
    std::vector<double> out(q.size());
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t h = 0; h < heads; ++h) {
        const auto [begin, end] = ranges[static_cast<std::size_t>(i)];
        const std::int64_t kv = h / (heads / kv_heads);
        std::vector<double> weight;
        double total = 0;
        for (std::int64_t j = begin; j < end; ++j) {
          double dot = 0;
          for (std::int64_t d = 0; d < dim; ++d)
            dot += double(q[static_cast<std::size_t>((i * heads + h) * dim + d)]) *
                   double(k[static_cast<std::size_t>((j * kv_heads + kv) * dim + d)]);
          weight.push_back(std::exp(dot / std::sqrt(static_cast<double>(dim))));
          total += weight.back();
        }
        for (std::int64_t j = begin; j < end; ++j)
          for (std::int64_t d = 0; d < dim; ++d)
            out[static_cast<std::size_t>((i * heads + h) * dim + d)] +=
                weight[static_cast<std::size_t>(j - begin)] / total *
                double(v[static_cast<std::size_t>((j * kv_heads + kv) * dim + d)]);
      }
    return out;
  }
};

struct Shape {
  std::int64_t rows, keys, heads, kv_heads, dim;
};

class Attention : public testing::TestWithParam<Shape> {
 protected:
  template <class T>
  static Case<T> make() {
    const auto [rows, keys, heads, kv_heads, dim] = GetParam();
    return {rows, keys, heads, kv_heads, dim};
  }

  template <class T>
  static void expect_naive(double bound) {
    const Case<T> c = make<T>();
    const auto expected = c.naive();
    const auto got = test::same_on_all_levels([&] { return c.attend(); });
    for (std::size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], expected[i], bound) << i;
  }
};

TEST_P(Attention, IsTheNaiveSoftmaxWithTheSameBitsOnEveryProcessor) {
  expect_naive<float>(3e-6);
  expect_naive<double>(1e-14);
}

TEST_P(Attention, BitsDoNotDependOnTheOrderOfRowsOrOnTheParts) {
  const Case<float> c = make<float>();
  const auto expected = c.attend();
  Case<float> turned = c;
  const std::int64_t width = c.heads * c.dim;
  for (std::int64_t i = 0; i < c.rows; ++i) {
    const std::int64_t from = (i * 7 + 3) % c.rows;  // a permutation unless 7 divides rows
    std::copy_n(c.q.begin() + from * width, width, turned.q.begin() + i * width);
    turned.ranges[static_cast<std::size_t>(i)] = c.ranges[static_cast<std::size_t>(from)];
  }
  const auto got = turned.attend();
  for (std::int64_t i = 0; i < c.rows; ++i)
    EXPECT_TRUE(std::equal(got.begin() + i * width, got.begin() + (i + 1) * width,
                           expected.begin() + (i * 7 + 3) % c.rows * width))
        << "row " << i;

  std::vector<float> parts;
  const auto problem = c.problem(parts);
  for (std::int64_t kv = 0; kv < c.kv_heads; ++kv)
    for (std::int64_t row = 0; row < c.rows; row += 3)
      attend_rows(problem, {kv, kv + 1, row, std::min(row + 3, c.rows)});
  EXPECT_EQ(parts, expected);
}

/// Codes over the whole range, and what they stand for.
template <class T>
struct Codes {
  std::vector<std::int8_t> keys, values;
  std::vector<T> key_scales, value_scales;

  explicit Codes(Case<T>& c) {
    Rng rng(12);
    const auto fill = [&](std::vector<T>& x, std::vector<std::int8_t>& codes, std::vector<T>& scales) {
      const auto width = static_cast<std::size_t>(c.kv_heads * c.dim);
      while (scales.size() < width) scales.push_back(static_cast<T>(0.001 + rng.uniform() * 0.02));
      codes.resize(x.size());
      for (std::size_t i = 0; i < x.size(); ++i) {
        codes[i] = static_cast<std::int8_t>(static_cast<int>(rng.next() % 255) - 127);
        x[i] = static_cast<T>(codes[i]) * scales[i % width];
      }
    };
    fill(c.k, keys, key_scales);
    fill(c.v, values, value_scales);
  }

  void put_into(AttentionRows<T>& problem) const {
    problem.keys = problem.values = nullptr;
    problem.key_codes = keys.data();
    problem.value_codes = values.data();
    problem.key_scales = key_scales.data();
    problem.value_scales = value_scales.data();
  }
};

TEST_P(Attention, CodesGiveTheBitsOfTheNumbersTheyStandFor) {
  Case<float> c = make<float>();
  const Codes<float> codes(c);
  const auto expected = c.attend();
  EXPECT_EQ(test::same_on_all_levels([&] {
              std::vector<float> out;
              auto problem = c.problem(out);
              codes.put_into(problem);
              attend_rows(problem, {0, c.kv_heads, 0, c.rows});
              return out;
            }),
            expected);
}

INSTANTIATE_TEST_SUITE_P(Shapes, Attention,
                         testing::Values(Shape{1, 1, 1, 1, 8}, Shape{1, 200, 8, 2, 64},
                                         Shape{33, 33, 4, 4, 72}, Shape{40, 130, 6, 2, 80},
                                         Shape{65, 65, 3, 1, 5}, Shape{9, 300, 2, 2, 36},
                                         Shape{100, 100, 2, 1, 128}));

TEST(Attention, RowThatSeesNothingIsZero) {
  Case<float> c(4, 6, 2, 2, 8);
  std::ranges::fill(c.ranges, KeyRange{3, 3});
  for (const float value : c.attend()) EXPECT_EQ(value, 0.0F);
}

TEST(Attention, KeysOutsideOfTheIntervalAreNotTouched) {
  Case<float> c(8, 96, 2, 1, 16);
  for (std::size_t i = 0; i < c.ranges.size(); ++i) c.ranges[i] = {10 + std::ssize(c.ranges), 90};
  const auto expected = c.attend();
  for (std::size_t j = 0; j < 10; ++j)
    for (std::size_t d = 0; d < 16; ++d)
      c.k[j * 16 + d] = c.v[j * 16 + d] = std::numeric_limits<float>::quiet_NaN();
  for (std::size_t i = 0; i < c.ranges.size(); ++i) c.ranges[i] = {i % 2 == 0 ? 18 : 5, i % 2 == 0 ? 90 : 6};
  const auto got = c.attend();
  for (std::size_t row = 0; row < 8; row += 2)
    for (std::size_t d = 0; d < 32; ++d) EXPECT_EQ(got[row * 32 + d], expected[row * 32 + d]);
  for (std::size_t row = 1; row < 8; row += 2)
    EXPECT_TRUE(std::isnan(got[row * 32]));  // and a NaN is not hidden
}

TEST(Attention, LargeScoresDoNotOverflow) {
  Case<float> c(3, 50, 1, 1, 8);
  for (float& value : c.q) value *= 1000;
  for (const float value : c.attend()) EXPECT_TRUE(std::isfinite(value));
}

TEST(Attention, CodesWithoutScalesAreRefused) {
  Case<float> c(2, 4, 1, 1, 8);
  const Codes<float> codes(c);
  std::vector<float> out;
  auto problem = c.problem(out);
  codes.put_into(problem);
  problem.value_scales = nullptr;
  EXPECT_THROW(attend_rows(problem, {0, 1, 0, 2}), Error);
}

TEST(Attention, IntervalBeyondTheKeysIsRefused) {
  Case<float> c(2, 4, 1, 1, 8);
  c.ranges[1] = {0, 5};
  EXPECT_THROW(c.attend(), Error);
}

}  // namespace
}  // namespace mquant
