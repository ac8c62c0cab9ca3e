#include "runtime/prepared_block.h"

#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/activations.h"
#include "kernels/cpu.h"
#include "kernels/norm_rows.h"
#include "kernels/quantize_rows.h"
#include "mquant/error.h"
#include "tests/runtime/mlp_block.h"
#include "tests/unit/kernels/cpu_levels.h"

namespace mquant::test {
namespace {

at::Tensor run_fast(const PreparedBlock& block, const std::vector<const MlpSample*>& samples,
                    Scaling scaling) {
  std::vector<SampleState> states;
  for (const MlpSample* sample : samples) states.push_back(sample->state());
  Batch batch(std::move(states));
  block.run(batch, {scaling, nullptr});
  return batch.get("x").rows;
}

at::Tensor run_plain(const Block& block, const MlpSample& sample) {
  SampleState state = sample.state();
  run_block(block, state);
  return state.registers.at("x");
}

class Threads {
 public:
  explicit Threads(int count) : before_(at::get_num_threads()) { at::set_num_threads(count); }
  ~Threads() { at::set_num_threads(before_); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

 private:
  int before_;
};

// One row, few rows that threads share out by outputs, and many that they share out by rows; a chunk's boundary inside a
// class and at its end.
class PreparedBlockRows : public testing::TestWithParam<std::pair<int, int>> {};

TEST_P(PreparedBlockRows, GiveThePlainBitsOnEveryProcessorForAnyThreads) {
  const BlockSpec spec = mlp_spec();
  const MlpSample sample = mlp_sample(GetParam().first, GetParam().second, 5);
  for (const bool float_split : {false, true}) {
    const Block plain = mlp_block(spec, float_split);
    const PreparedBlock fast(mlp_block(spec, float_split));
    const at::Tensor expected = run_plain(plain, sample);
    for (const CpuLevel level : cpu_levels()) {
      set_cpu_level(level);
      for (const int threads : {1, 2, 3}) {
        const Threads scope(threads);
        for (const Scaling scaling : {Scaling::segments, Scaling::gathered})
          EXPECT_TRUE(run_fast(fast, {&sample}, scaling).equal(expected))
              << cpu_level_name(level) << ", " << threads << " threads, " << scaling_name(scaling);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Rows, PreparedBlockRows,
                         testing::Values(std::pair{0, 1}, std::pair{1, 0}, std::pair{3, 2}, std::pair{9, 31},
                                         std::pair{128, 1}, std::pair{200, 73}));

TEST(PreparedBlock, ABatchIsEachSampleAlone) {
  const BlockSpec spec = mlp_spec();
  const Block plain = mlp_block(spec);
  const PreparedBlock fast(mlp_block(spec));
  const std::vector<MlpSample> samples = {mlp_sample(5, 3, 1), mlp_sample(0, 1, 2), mlp_sample(140, 9, 3)};
  const at::Tensor all = run_fast(fast, {&samples[0], &samples[1], &samples[2]}, Scaling::segments);
  std::int64_t begin = 0;
  for (const MlpSample& sample : samples) {
    EXPECT_TRUE(all.narrow(0, begin, sample.x.size(0)).equal(run_plain(plain, sample)));
    begin += sample.x.size(0);
  }
}

/// The block again, one row, each linear with a scale of its input's own; split channels as they are stored.
std::vector<float> with_scales(
    const Block& block, const float* x, TokenClass token_class,
    const std::function<float(const QuantizedLinear&, const std::vector<float>&)>& scale) {
  const auto product = [&](const std::string& name, std::vector<float> in) {
    const Linear& linear = block.linear(name);
    const QuantizedLinear& q = *linear.quantized;
    if (linear.rotation)
      hadamard_rows(in.data(), 1, plan_hadamard(linear.rotation.size, linear.rotation.block),
                    linear.rotation.signs, Direction::forward);
    const float s = scale(q, in);
    std::vector<std::int8_t> codes(in.size());
    quantize_row(in.data(), q.in, s, codes.data());
    std::vector<float> out;
    for (std::int64_t o = 0; o < q.out; ++o) {
      std::int64_t sum = 0;
      for (std::int64_t i = 0; i < q.in; ++i)
        sum += codes[static_cast<std::size_t>(i)] * q.codes[static_cast<std::size_t>(o * q.in + i)];
      double y = static_cast<double>(sum) *
                 (static_cast<double>(s) * static_cast<double>(q.weight_scale[static_cast<std::size_t>(o)]));
      if (!q.split.empty()) {
        const float split_scale = *q.split.input_scales[0].of(token_class);
        std::int8_t code = 0;
        quantize_row(&in[kSplitChannel], 1, split_scale, &code);
        y += static_cast<double>(code) * static_cast<double>(split_scale) *
             (static_cast<double>(q.split.codes[static_cast<std::size_t>(o)]) *
              static_cast<double>(q.split.weight_scale[0]));
      }
      if (linear.bias.defined()) y += static_cast<double>(linear.bias.data_ptr<float>()[o]);
      out.push_back(static_cast<float>(y));
    }
    return out;
  };
  std::vector<float> n(kWidth), h(kHidden), y(kWidth);
  const NormWeights& norm = block.norm("norm");
  rms_norm_row(x, kWidth, norm.scale.data_ptr<float>(), nullptr, norm.eps, n.data());
  const std::vector<float> gate = product("gate", n), up = product("up", n);
  activate_row(Activation::silu, gate.data(), kHidden, h.data());
  multiply_row(h.data(), up.data(), kHidden, h.data());
  add_row(x, product("down", h).data(), kWidth, y.data());
  return y;
}

void expect_rows(Scaling scaling,
                 const std::function<float(const QuantizedLinear&, const std::vector<float>&)>& scale) {
  const BlockSpec spec = mlp_spec();
  const Block block = mlp_block(spec);
  const MlpSample sample = mlp_sample(4, 3, 8);
  const at::Tensor found = run_fast(PreparedBlock(mlp_block(spec)), {&sample}, scaling);
  for (std::int64_t r = 0; r < 7; ++r) {
    const std::vector<float> expected =
        with_scales(block, sample.x.data_ptr<float>() + r * kWidth,
                    sample.features.token_class[static_cast<std::size_t>(r)], scale);
    for (std::int64_t i = 0; i < kWidth; ++i)
      EXPECT_EQ(found.data_ptr<float>()[r * kWidth + i], expected[static_cast<std::size_t>(i)])
          << r << ", " << i;
  }
}

TEST(PreparedBlock, DynamicTakesTheScaleOfEachRow) {
  expect_rows(Scaling::dynamic, [](const QuantizedLinear&, const std::vector<float>& in) {
    float largest = 0;
    for (const float v : in) largest = std::max(largest, std::abs(v));
    return largest / 127.0F;
  });
}

TEST(PreparedBlock, OneStaticTakesTheLargestScaleForAllRows) {
  expect_rows(Scaling::one_static, [](const QuantizedLinear& q, const std::vector<float>&) {
    return std::max(*q.input_scales.of(TokenClass::text), *q.input_scales.of(TokenClass::visual));
  });
}

std::string message_of(const MlpSample& sample) {
  const BlockSpec spec = mlp_spec();
  const PreparedBlock block(mlp_block(spec));
  try {
    run_fast(block, {&sample}, Scaling::segments);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::input);
    return error.what();
  }
  return "accepted";
}

TEST(PreparedBlock, WhatIsNotFiniteIsAnErrorThatSaysWhere) {
  for (const int threads : {1, 3}) {
    const Threads scope(threads);
    MlpSample sample = mlp_sample(200, 60, 5);
    for (const std::int64_t row : {77, 211})  // the first is told, whichever thread finds it first
      sample.x[row][2] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_THAT(message_of(sample),
                testing::AllOf(testing::HasSubstr("decoder.0"), testing::HasSubstr("row 77,")));
  }
}

TEST(PreparedBlock, AClassWithoutAScaleIsAnError) {
  MlpSample sample = mlp_sample(2, 2, 5);
  sample.features.token_class[1] = TokenClass::sink;
  EXPECT_THAT(message_of(sample), testing::HasSubstr("no static scale for sink tokens"));
}

TEST(PreparedBlock, TellsWhereTheTimeWentAndHowMuchItHolds) {
  const BlockSpec spec = mlp_spec();
  const PreparedBlock block(mlp_block(spec));
  const MlpSample sample = mlp_sample(20, 20, 5);
  StageClock clock;
  Batch batch({sample.state()});
  block.run(batch, {Scaling::segments, &clock});
  for (const Stage stage : {Stage::quantize, Stage::linears, Stage::hadamard, Stage::rest})
    EXPECT_GT(clock.of(Tower::decoder)[static_cast<std::size_t>(stage)], 0) << stage_name(stage);
  EXPECT_EQ(clock.of(Tower::vision), StageSeconds{});
  EXPECT_EQ(block.values(), 3 * kWidth * kHidden);
  const std::int64_t padded = 96 * 64 / 2 * 2 + 64 * 96;  // gate and up: 72 x 40 int4; down: 40 x 72 int8
  EXPECT_GE(block.bytes(), padded);
  EXPECT_LT(block.bytes(), 2 * padded);  // scales, biases and the split channel are small even here
}

}  // namespace
}  // namespace mquant::test
