#include "quant/gptq.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/diag.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/linalg_cholesky.h>
#include <ATen/ops/linalg_inv.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/cpu.h"
#include "mquant/error.h"
#include "mquant/log.h"
#include "tests/unit/quant/layers.h"

namespace mquant {
namespace {

using test::kInt4;
using test::kInt8;
using test::Layer;

const RoundingOptions kRounding;

GptqResult gptq_of(const Layer& layer, const QuantScheme& scheme, const GptqOptions& options = {}) {
  return gptq(layer.W, prepare_hessian(layer.H.clone(), options), scheme, kRounding);
}

TEST(Gptq, IdentityHessianGivesRoundToNearest) {
  for (const bool act_order : {false, true})
    for (const QuantScheme& scheme : {kInt4, kInt8}) {
      const at::Tensor W = test::random_matrix(19, 150, 1);
      const GptqFactor factor = prepare_hessian(at::eye(150, at::kFloat), {.act_order = act_order});
      const QuantizedLinear got = gptq(W, factor, scheme, kRounding).linear,
                            rtn = round_to_nearest(W, scheme, kRounding);
      EXPECT_EQ(got.codes, rtn.codes);
      EXPECT_EQ(got.weight_scale, rtn.weight_scale);
    }
}

TEST(Gptq, DiagonalHessianGivesRoundToNearestInTheWeightsOwnOrder) {  // act-order is undone
  const at::Tensor W = test::random_matrix(8, 60, 2);
  const at::Tensor diagonal = test::random_matrix(1, 60, 3).reshape({60}).abs() + 0.1;
  const GptqFactor factor = prepare_hessian(at::diag(diagonal), {.act_order = true});
  EXPECT_NE(factor.column_at.back(), 0);
  EXPECT_EQ(gptq(W, factor, kInt4, kRounding).linear.codes, round_to_nearest(W, kInt4, kRounding).codes);
}

TEST(Gptq, BeatsRoundToNearestOnCorrelatedInputs) {
  for (const bool act_order : {false, true})
    for (const auto& [out, in] : {std::pair{24, 40}, std::pair{7, 129}, std::pair{50, 300}}) {
      const Layer layer = test::correlated_layer(out, in, 5);
      const double got = test::output_error(layer, gptq_of(layer, kInt4, {.act_order = act_order}).linear);
      const double rtn = test::output_error(layer, round_to_nearest(layer.W, kInt4, kRounding));
      EXPECT_LT(got, 0.7 * rtn) << out << " x " << in << ", act-order " << act_order;
    }
}

/// The algorithm as published: rows of the Cholesky factor of the inverse, weights updated column by column, in double.
at::Tensor textbook_codes(const Layer& layer, const std::vector<float>& scales, bool act_order) {
  at::Tensor W = layer.W.to(at::kDouble).clone(), H = layer.H.to(at::kDouble).clone();
  const std::int64_t n = H.size(0);
  const at::Tensor order =
      act_order ? std::get<1>(H.diagonal().sort(true, 0, true)) : at::zeros({0}, at::kLong);
  if (act_order) {
    W = W.index_select(1, order);
    H = H.index_select(0, order).index_select(1, order);
  }
  H = H + at::eye(n, at::kDouble) * H.diagonal().mean() * 0.01;
  const at::Tensor U = at::linalg_cholesky(at::linalg_inv(H), /*upper=*/true);
  at::Tensor codes = at::zeros({W.size(0), n}, at::kDouble), scale = at::zeros({W.size(0)}, at::kDouble);
  for (std::int64_t r = 0; r < W.size(0); ++r)
    scale.data_ptr<double>()[r] = double(scales[static_cast<std::size_t>(r)]);
  for (std::int64_t i = 0; i < n; ++i) {
    const at::Tensor code = (W.select(1, i) / scale).round().clamp(-8, 7);
    codes.select(1, act_order ? order.data_ptr<std::int64_t>()[i] : i).copy_(code);
    const at::Tensor error = (W.select(1, i) - code * scale) / U.select(0, i).select(0, i);
    W.narrow(1, i, n - i).sub_(error.unsqueeze(1) * U.select(0, i).narrow(0, i, n - i).unsqueeze(0));
  }
  return codes.to(at::kChar);
}

TEST(Gptq, GivesTheCodesOfThePublishedAlgorithm) {
  for (const bool act_order : {false, true}) {
    const Layer layer = test::correlated_layer(16, 200, 7);
    const QuantizedLinear got = gptq_of(layer, kInt4, {.act_order = act_order}).linear;
    const at::Tensor expected = textbook_codes(layer, got.weight_scale, act_order);
    // Float rounding may tip a tie; one code that differs changes those after it in its row.
    const auto different = test::codes_of(got).ne(expected).sum().item<std::int64_t>();
    EXPECT_LT(different, 16 * 200 / 50);
    EXPECT_LT(test::codes_of(got).ne(expected).any(1).sum().item<std::int64_t>(), 4);
  }
}

TEST(Gptq, ReportsTheErrorThatItMade) {
  const Layer layer = test::correlated_layer(12, 90, 9);
  const GptqResult got = gptq_of(layer, kInt4, {.damping = 1e-4});
  EXPECT_NEAR(got.squared_error / test::output_error(layer, got.linear), 1.0, 0.05);
}

/// 10 log10 of |W x|^2 / |E x|^2 over some rows of W, in double.
double output_sqnr_db(const Layer& layer, const QuantizedLinear& linear, const at::Tensor& rows) {
  const at::Tensor x = layer.X.to(at::kDouble), w = layer.W.to(at::kDouble);
  const at::Tensor error = w - dequantized(linear).to(at::kDouble);
  const auto square = [&](const at::Tensor& of) {
    return x.matmul(of.index_select(0, rows).t()).square().sum().item<double>();
  };
  return 10 * std::log10(square(w) / square(error));
}

TEST(Gptq, SqnrOfTheOutputIsThatOverTheInputsOfTheHessianWhateverTheDamping) {
  for (const auto& [out, in] : {std::pair{20, 60}, std::pair{256, 130}, std::pair{700, 40}})
    for (const double damping : {1e-4, 0.01, 1.0})
      for (const bool act_order : {false, true}) {
        const Layer layer = test::correlated_layer(out, in, 2);
        const GptqResult got = gptq_of(layer, kInt4, {.damping = damping, .act_order = act_order});
        const std::int64_t looked_at = std::min<std::int64_t>(out, 256);
        const at::Tensor rows = at::arange(looked_at, at::kLong).mul(out).floor_divide(looked_at);
        EXPECT_NEAR(got.output_sqnr_db.value(), output_sqnr_db(layer, got.linear, rows), 0.01)
            << out << " x " << in << ", damping " << damping;
      }
}

TEST(Gptq, SqnrOfTheOutputLeavesOutColumnsWithoutInputAndExcludedOnes) {
  Layer layer = test::correlated_layer(30, 48, 3);
  for (const std::int64_t column : {0, 17}) layer.X.select(1, column).zero_();
  layer.H = layer.X.t().matmul(layer.X);
  const GptqResult got =
      gptq(layer.W, prepare_hessian(layer.H, {}, std::vector<std::int64_t>{5, 30}), kInt4, {});
  for (const std::int64_t column : {5, 30}) layer.W.select(1, column).zero_();
  EXPECT_NEAR(got.output_sqnr_db.value(), output_sqnr_db(layer, got.linear, at::arange(30, at::kLong)), 0.01);
}

TEST(Gptq, SqnrOfAnOutputWithoutErrorIsInfinite) {
  const at::Tensor W = test::random_matrix(6, 20, 4).mul(20).round().clamp(-7, 7) / 8;
  W.select(1, 0).fill_(7.0F / 8);
  const GptqResult got = gptq(W, prepare_hessian(at::eye(20, at::kFloat), {}), kInt4, {.search_clip = false});
  EXPECT_EQ(got.output_sqnr_db, std::numeric_limits<double>::infinity());
}

/// Codes of two classes, their weights, and the Hessian that they stand for.
struct CodeLayer {
  CodeMoments moments;
  double unit;
  at::Tensor H;
};

CodeLayer code_layer(std::int64_t in, bool without_input = false) {
  const at::Tensor mix = test::random_matrix(in / 3 + 1, in, 31);
  CodeLayer layer{CodeMoments(in), 0.37, at::zeros({in, in}, at::kDouble)};
  for (const std::int64_t multiplier : {2, 5}) {
    const auto seed = static_cast<std::uint64_t>(multiplier);
    at::Tensor x = test::random_matrix(2 * in, in / 3 + 1, seed).matmul(mix) * 20;
    x = (x + test::random_matrix(2 * in, in, seed + 1) * 9).round().clamp(-127, 127);
    if (without_input) x.select(1, 3).zero_();
    const at::Tensor codes = x.to(at::kChar).contiguous(), exact = x.to(at::kDouble);
    layer.moments.add(codes.const_data_ptr<std::int8_t>(), codes.size(0), in, multiplier);
    layer.H += exact.t().matmul(exact) * multiplier;
  }
  layer.H = (layer.H * layer.unit).to(at::kFloat);
  return layer;
}

TEST(Gptq, MomentsOfCodesGiveWhatTheirHessianGives) {
  for (const std::int64_t in : {7, 150, 421})
    for (const bool act_order : {false, true}) {
      CodeLayer layer = code_layer(in, true);
      const std::vector<std::int64_t> excluded = {1, 5};
      const GptqOptions options{.damping = 0.02, .act_order = act_order};
      const at::Tensor W = test::random_matrix(40, in, 6);
      const GptqFactor of_float = prepare_hessian(layer.H, options, excluded),
                       of_codes = prepare_hessian(std::move(layer.moments), layer.unit, options, excluded);
      EXPECT_EQ(of_codes.column_at, of_float.column_at);
      EXPECT_TRUE(of_codes.lower.equal(of_float.lower)) << in;
      const GptqResult got = gptq(W, of_codes, kInt4, kRounding),
                       expected = gptq(W, of_float, kInt4, kRounding);
      EXPECT_EQ(got.linear.codes, expected.linear.codes);
      EXPECT_EQ(got.output_sqnr_db, expected.output_sqnr_db);
    }
}

TEST(Gptq, ScaleOfTheHessianDoesNotMatter) {
  const at::Tensor W = test::random_matrix(9, 100, 7);
  const auto codes = [&](double unit) {
    return gptq(W, prepare_hessian(code_layer(100).moments, unit, {}), kInt4, kRounding).linear.codes;
  };
  EXPECT_EQ(codes(0x1p-40), codes(1.0));
}

TEST(Gptq, MomentsTooLargeForFloatsAreAnErrorThatSaysWhere) {
  try {
    prepare_hessian(code_layer(10).moments, 1e36, {});
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::input);
    EXPECT_THAT(error.what(), testing::HasSubstr("Hessian[0, 0]"));
  }
}

TEST(Gptq, FactorOfOneHessianServesSeveralLinears) {
  const Layer q = test::correlated_layer(20, 70, 11);
  const at::Tensor k = test::random_matrix(9, 70, 12);
  const GptqFactor factor = prepare_hessian(q.H.clone(), {});
  const auto first = gptq(q.W, factor, kInt4, kRounding).linear.codes;
  gptq(k, factor, kInt8, kRounding);
  EXPECT_EQ(gptq(q.W, factor, kInt4, kRounding).linear.codes, first);
}

TEST(Gptq, ColumnsWithoutInputAreRoundedToNearestAndExcludedOnesGetCodeZero) {
  Layer layer = test::correlated_layer(10, 48, 13);
  const std::vector<std::int64_t> unseen = {0, 17}, excluded = {5, 30};
  for (const std::int64_t column : unseen) {
    layer.H.select(0, column).zero_();
    layer.H.select(1, column).zero_();
  }
  for (const bool act_order : {false, true}) {
    const GptqFactor factor = prepare_hessian(layer.H.clone(), {.act_order = act_order}, excluded);
    const GptqResult got = gptq(layer.W, factor, kInt4, kRounding);
    EXPECT_FALSE(got.fell_back);
    at::Tensor split = layer.W.clone();
    for (const std::int64_t column : excluded) {
      EXPECT_EQ(test::codes_of(got.linear).select(1, column).count_nonzero().item<std::int64_t>(), 0);
      split.select(1, column).zero_();
    }
    const QuantizedLinear nearest = round_to_nearest(split, kInt4, kRounding);
    ASSERT_EQ(got.linear.weight_scale, nearest.weight_scale);
    for (const std::int64_t column : unseen) {
      const at::Tensor codes = test::codes_of(got.linear).select(1, column);
      EXPECT_TRUE(codes.equal(test::codes_of(nearest).select(1, column))) << column;
      EXPECT_GT(codes.count_nonzero().item<std::int64_t>(), 0) << column;
    }
  }
}

TEST(Gptq, WithoutAnyInputRoundsToNearest) {
  const at::Tensor W = test::random_matrix(7, 30, 19);
  const GptqFactor factor = prepare_hessian(at::zeros({30, 30}, at::kFloat), {});
  EXPECT_EQ(gptq(W, factor, kInt4, kRounding).linear.codes, round_to_nearest(W, kInt4, kRounding).codes);
}

TEST(Gptq, SingularHessianIsDampedAndStillRounded) {
  Layer layer = test::correlated_layer(6, 32, 15);
  const at::Tensor x = test::random_matrix(1, 32, 16);
  layer.H = x.t().matmul(x);  // rank one
  const GptqResult got = gptq_of(layer, kInt4);
  EXPECT_FALSE(got.fell_back);
  layer.X = x;
  EXPECT_LT(test::output_error(layer, got.linear),
            test::output_error(layer, round_to_nearest(layer.W, kInt4, kRounding)));
}

TEST(Gptq, DampingIsRaisedTenfoldWhereItDoesNotSuffice) {
  set_log_level(LogLevel::off);
  at::Tensor H = at::eye(40, at::kFloat);
  H.narrow(0, 0, 2).narrow(1, 0, 2).fill_(1.05F);  // eigenvalue: 1 - 1.05 for the pair once the diagonal is 1
  H.diagonal().fill_(1.0F);
  const GptqFactor factor = prepare_hessian(H, {.damping = 0.01});
  EXPECT_TRUE(factor.usable());
  EXPECT_DOUBLE_EQ(factor.damping, 0.1);
  set_log_level(LogLevel::info);
}

TEST(Gptq, HopelessHessianFallsBackToRoundToNearestInTheWeightsOwnOrder) {
  set_log_level(LogLevel::off);
  at::Tensor H = at::diag(test::random_matrix(1, 40, 17).reshape({40}).abs() + 0.5);
  H.select(0, 3).select(0, 8).fill_(100.0F);
  H.select(0, 8).select(0, 3).fill_(100.0F);
  const GptqFactor factor = prepare_hessian(H, {.act_order = true});
  EXPECT_FALSE(factor.usable());
  const at::Tensor W = test::random_matrix(5, 40, 18);
  const GptqResult got = gptq(W, factor, kInt4, kRounding);
  EXPECT_TRUE(got.fell_back);
  EXPECT_FALSE(got.output_sqnr_db.has_value());
  EXPECT_EQ(got.linear.codes, round_to_nearest(W, kInt4, kRounding).codes);
  set_log_level(LogLevel::info);
}

std::string message_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::input);
    return error.what();
  }
  return "accepted";
}

TEST(Gptq, NanIsAnErrorThatSaysWhere) {
  at::Tensor H = at::eye(10, at::kFloat), W = test::random_matrix(4, 10, 19);
  const GptqFactor factor = prepare_hessian(H.clone(), {});
  H.select(0, 2).select(0, 7).fill_(std::numeric_limits<float>::quiet_NaN());
  EXPECT_THAT(message_of([&] { prepare_hessian(H, {}); }), testing::HasSubstr("Hessian[2, 7]"));
  W.select(0, 3).select(0, 1).fill_(std::numeric_limits<float>::infinity());
  EXPECT_THAT(message_of([&] { gptq(W, factor, kInt4, kRounding); }), testing::HasSubstr("weight[3, 1]"));
}

struct Outcome {
  std::vector<std::int8_t> codes;
  std::vector<float> scales;
  double error = 0, sqnr = 0;
  bool operator==(const Outcome&) const = default;
};

Outcome outcome(const Layer& layer) {
  const GptqResult got = gptq_of(layer, kInt4);
  return {got.linear.codes, got.linear.weight_scale, got.squared_error, got.output_sqnr_db.value()};
}

TEST(Gptq, BytesDoNotDependOnThreadsOrProcessor) {
  for (const auto& [out, in] : {std::pair{200, 333}, std::pair{5, 70}}) {
    const Layer layer = test::correlated_layer(out, in, 21);
    const auto run = [&] { return outcome(layer); };
    const Outcome expected = test::with_threads(1, run);
    for (const int threads : {2, 3}) EXPECT_EQ(test::with_threads(threads, run), expected) << threads;
    set_cpu_level(CpuLevel::portable);
    EXPECT_EQ(run(), expected) << "portable";
    set_cpu_level(best_cpu_level());
  }
}

TEST(Gptq, WeightIsNotChanged) {
  const Layer layer = test::correlated_layer(6, 20, 23);
  const at::Tensor before = layer.W.clone();
  gptq_of(layer, kInt4);
  EXPECT_TRUE(before.equal(layer.W));
}

}  // namespace
}  // namespace mquant
