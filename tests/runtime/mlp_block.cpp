#include "tests/runtime/mlp_block.h"

#include <ATen/ops/empty.h>

#include "support/rng.h"

namespace mquant::test {
namespace {

at::Tensor random_rows(std::int64_t rows, std::int64_t columns, double reach, Rng& rng) {
  at::Tensor x = at::empty({rows, columns}, at::kFloat);
  for (std::int64_t i = 0; i < x.numel(); ++i)
    x.data_ptr<float>()[i] = static_cast<float>((rng.uniform() * 2 - 1) * reach);
  return x;
}

float random_scale(Rng& rng) { return static_cast<float>(0.005 + 0.02 * rng.uniform()); }

std::shared_ptr<QuantizedLinear> random_linear(std::int64_t out, std::int64_t in, int bits, Rng& rng) {
  auto q = std::make_shared<QuantizedLinear>();
  q->out = out;
  q->in = in;
  q->scheme = {bits, 8};
  q->codes.resize(static_cast<std::size_t>(out * in));
  for (std::int8_t& code : q->codes)
    code = static_cast<std::int8_t>(bits == 4 ? static_cast<int>(rng.next() % 16) - 8
                                              : static_cast<int>(rng.next() % 255) - 127);
  for (std::int64_t o = 0; o < out; ++o) q->weight_scale.push_back(random_scale(rng));
  return q;
}

Step step_of(Op op, const std::string& out, std::vector<std::string> in, const std::string& name = "") {
  Step step;
  step.op = op;
  step.out = out;
  step.in = std::move(in);
  step.name = name;
  return step;
}

}  // namespace

BlockSpec mlp_spec() {
  BlockSpec spec;
  spec.name = "decoder.0";
  spec.norms = {{.name = "norm", .width = kWidth}};
  spec.linears = {{.name = "gate", .out = kHidden, .in = kWidth},
                  {.name = "up", .out = kHidden, .in = kWidth},
                  {.name = "down", .out = kWidth, .in = kHidden}};
  spec.steps = {step_of(Op::norm, "n", {"x"}, "norm"),      step_of(Op::linear, "gate", {"n"}, "gate"),
                step_of(Op::activation, "gate", {"gate"}),  step_of(Op::linear, "up", {"n"}, "up"),
                step_of(Op::multiply, "h", {"gate", "up"}), step_of(Op::linear, "down", {"h"}, "down"),
                step_of(Op::add, "x", {"x", "down"})};
  spec.keeps = {"x"};
  return spec;
}

Block mlp_block(const BlockSpec& spec, bool float_split) {
  Rng rng(17);
  Block block(spec);
  NormWeights& norm = block.norms["norm"];
  norm.kind = NormKind::rms;
  norm.scale = random_rows(1, kWidth, 1.5, rng).view({kWidth});
  const float gate_visual = random_scale(rng), gate_text = random_scale(rng);
  for (const char* name : {"gate", "up"}) {
    auto q = random_linear(kHidden, kWidth, 4, rng);
    q->input_scales.scale = {gate_text, gate_visual, std::nullopt};
    block.linears[name].quantized = q;
    block.linears[name].bias = random_rows(1, kHidden, 0.1, rng).view({kHidden});
  }
  auto q = random_linear(kWidth, kHidden, 8, rng);
  q->input_scales.scale = {random_scale(rng), random_scale(rng), std::nullopt};
  q->split.channels = {kSplitChannel};
  q->split.quantized = !float_split;
  for (std::int64_t o = 0; o < kWidth; ++o) {
    q->codes[static_cast<std::size_t>(o * kHidden + kSplitChannel)] = 0;
    if (float_split)
      q->split.values.push_back(random_scale(rng));
    else
      q->split.codes.push_back(static_cast<std::int8_t>(static_cast<int>(rng.next() % 255) - 127));
  }
  if (!float_split) {
    q->split.weight_scale = {random_scale(rng)};
    q->split.input_scales.resize(1);
    q->split.input_scales[0].scale = {random_scale(rng), random_scale(rng), std::nullopt};
  }
  Linear& down = block.linears["down"];
  down.quantized = q;
  down.rotation = {kHidden, kHidden, rng.signs(kHidden)};
  return block;
}

SampleState MlpSample::state() const {
  SampleState state;
  state.features = &features;
  state.registers["x"] = x.clone();
  return state;
}

MlpSample mlp_sample(std::int64_t visual, std::int64_t text, std::uint64_t seed) {
  MlpSample sample;
  for (std::int64_t i = 0; i < visual + text; ++i) {
    sample.features.input_ids.push_back(0);
    sample.features.token_class.push_back(i < visual ? TokenClass::visual : TokenClass::text);
    sample.features.picture.push_back(i < visual ? 0 : -1);
    sample.features.positions.push_back({i, i, i});
  }
  Rng rng(seed);
  sample.x = random_rows(visual + text, kWidth, 2.0, rng);
  return sample;
}

}  // namespace mquant::test
