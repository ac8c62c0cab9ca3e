// The integer model is the fake-quantized float model: dequantized weights on inputs rounded to their codes.
#include <ATen/ops/empty.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "eval/loaded_model.h"
#include "mquant/artifact.h"
#include "nn/linear.h"
#include "nn/stored.h"
#include "tests/pipeline/runs.h"
#include "tests/support/temp_dir.h"

namespace mquant::test {
namespace {

constexpr double kLinearBound = 1e-5;  // of the largest magnitude, one linear on the same input
constexpr double kLogitsBound = 1e-3;  // of the largest magnitude, a whole run without ties
/// Root mean square of a whole run.  Sums of another order differ in the last bits: an input near the middle
/// between two codes may go to the other one, a 127th of its largest value away, and so may others behind it.
constexpr double kLogitsBoundWithTies = 5e-2;

double relative_difference(const at::Tensor& found, const at::Tensor& expected) {
  return ((found.to(at::kDouble) - expected.to(at::kDouble)).abs().max() /
          expected.to(at::kDouble).abs().max())
      .item<double>();
}

double rms_difference(const at::Tensor& found, const at::Tensor& expected) {
  return ((found - expected).square().sum() / expected.square().sum()).sqrt().item<double>();
}

/// [rows, 1] float32.
at::Tensor scales_of_rows(const ClassScales& scales, const std::vector<TokenClass>& classes,
                          const at::Tensor& x) {
  at::Tensor rows = x.new_empty({static_cast<std::int64_t>(classes.size()), 1});
  for (std::size_t i = 0; i < classes.size(); ++i) rows.data_ptr<float>()[i] = scales.of(classes[i]).value();
  return rows;
}

/// x rounded to int8 codes and back, float64.
at::Tensor fake_quantized(const at::Tensor& x, const at::Tensor& scales) {
  return (x / scales).round().clamp(-127, 127).to(at::kDouble) * scales.to(at::kDouble);
}

/// y = x' W^T + b in float64, from the definition of QuantizedLinear and SplitColumns.
at::Tensor reference(const Linear& linear, const at::Tensor& x, const std::vector<TokenClass>& classes) {
  const QuantizedLinear& q = *linear.quantized;
  const at::Tensor turned = rotate_input(linear, x);
  at::Tensor weight = at::empty({q.out, q.in}, at::kDouble);
  double* values = weight.data_ptr<double>();
  for (std::int64_t i = 0; i < q.out * q.in; ++i)
    values[i] = static_cast<double>(q.codes[static_cast<std::size_t>(i)]) *
                static_cast<double>(q.weight_scale[static_cast<std::size_t>(i / q.in)]);
  at::Tensor y = fake_quantized(turned, scales_of_rows(q.input_scales, classes, x)).matmul(weight.t());
  for (std::size_t k = 0; k < q.split.channels.size(); ++k) {
    const at::Tensor column = turned.narrow(1, q.split.channels[k], 1);  // [rows, 1]
    const at::Tensor seen = q.split.quantized
                                ? fake_quantized(column, scales_of_rows(q.split.input_scales[k], classes, x))
                                : column.to(at::kDouble);
    at::Tensor column_weight = at::empty({1, q.out}, at::kDouble);
    for (std::int64_t o = 0; o < q.out; ++o) {
      const std::size_t at = k * static_cast<std::size_t>(q.out) + static_cast<std::size_t>(o);
      column_weight.data_ptr<double>()[o] =
          q.split.quantized
              ? static_cast<double>(q.split.codes[at]) * static_cast<double>(q.split.weight_scale[k])
              : static_cast<double>(q.split.values[at]);
    }
    y = y + seen.matmul(column_weight);
  }
  return linear.bias.defined() ? y + linear.bias.to(at::kDouble) : y;
}

/// Whose output of a linear the next step sees.
enum class Follow { model, reference };

/// Runs blocks step by step, quantized linears by the model's codes and by `reference`.
class ReferenceRun {
 public:
  ReferenceRun(const Features& features, Follow follow)
      : state_(start(features, at::kFloat)), features_(features), follow_(follow) {}

  void run(const Block& block) {
    const BlockSpec& spec = block.spec();
    if (!takes_part(spec, features_)) return;
    for (std::size_t i = 0; i < spec.steps.size(); ++i) {
      const Step& step = spec.steps[i];
      if (step.op == Op::linear && block.linear(step.name).quantized != nullptr)
        run_by_reference(block, step);
      else
        run_steps(block, state_, i, i + 1);
    }
    std::erase_if(state_.registers, [&](const auto& entry) {
      return std::ranges::find(spec.keeps, entry.first) == spec.keeps.end();
    });
  }

  at::Tensor logits() const { return state_.registers.at("logits"); }
  int linears = 0, split = 0;

 private:
  void run_by_reference(const Block& block, const Step& step) {
    const Linear& linear = block.linear(step.name);
    const at::Tensor x = state_.registers.at(step.in[0]);
    const std::vector<TokenClass> classes =
        row_classes(block.spec(), block.spec().linear(step.name).rows, state_, x.size(0));
    const at::Tensor found = run_linear(linear, x, classes, false), wanted = reference(linear, x, classes);
    EXPECT_LT(relative_difference(found, wanted), kLinearBound) << block.spec().name << " " << step.name;
    state_.registers[step.out] = follow_ == Follow::model ? found : wanted.to(at::kFloat);
    ++linears;
    split += linear.quantized->split.empty() ? 0 : 1;
  }

  SampleState state_;
  const Features& features_;
  Follow follow_;
};

class IntegerSemantics : public testing::TestWithParam<std::string> {};

TEST_P(IntegerSemantics, EqualFakeQuantizedFloats) {
  const TempDir directory;
  calibrate_into(directory / "calibration", digits(),
                 {.overrides = {"calibration.samples=5", "suppress.columns=" + GetParam(),
                                "suppress.weight_ratio=1.5"}});
  export_into(directory / "artifact", directory / "calibration");
  const LoadedModel model = LoadedModel::open(directory / "artifact");
  const Artifact artifact = Artifact::open(directory / "artifact", model.spec());
  std::vector<Block> blocks;
  for (const BlockSpec& spec : model.spec().blocks)
    blocks.push_back(from_stored(artifact.read(spec.name), spec));
  const std::vector<Features> all = model.features(read_samples(digits().samples, 5), WithAnswer::yes);
  std::size_t close = 0;
  for (const Features& features : all) {
    std::vector<KvCache> none;
    const at::Tensor logits = model.logits(features, none, 0, LogitRows::all);
    for (const Follow follow : {Follow::model, Follow::reference}) {
      ReferenceRun run(features, follow);
      for (const Block& block : blocks) run.run(block);
      EXPECT_GE(run.linears, 6 * 7);
      EXPECT_GT(run.split, 0) << "no linear with split columns; nothing was shown about them";
      if (follow == Follow::model) {
        EXPECT_TRUE(run.logits().equal(logits)) << "the model runs something else than its linears";
        continue;
      }
      EXPECT_LT(rms_difference(logits, run.logits()), kLogitsBoundWithTies);
      close += relative_difference(logits, run.logits()) < kLogitsBound ? 1 : 0;
    }
  }
  EXPECT_GT(2 * close, all.size()) << "logits within " << kLogitsBound << " in few samples";
}

INSTANTIATE_TEST_SUITE_P(SplitColumns, IntegerSemantics, testing::Values("int8", "float"));

}  // namespace
}  // namespace mquant::test
