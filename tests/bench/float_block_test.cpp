// The float weights that an artifact stands for.
#include "bench/float_block.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>

#include "mquant/config.h"
#include "mquant/family.h"
#include "nn/linear.h"
#include "nn/stored.h"
#include "tests/pipeline/runs.h"
#include "tests/support/temp_dir.h"

namespace mquant::test {
namespace {

/// W' as the definition of a quantized linear has it: code * scale, split columns in their places.
at::Tensor as_defined(const QuantizedLinear& q) {
  at::Tensor weight = at::empty({q.out, q.in}, at::kFloat);
  for (std::int64_t o = 0; o < q.out; ++o)
    for (std::int64_t i = 0; i < q.in; ++i)
      weight.data_ptr<float>()[o * q.in + i] =
          static_cast<float>(q.codes[static_cast<std::size_t>(o * q.in + i)]) *
          q.weight_scale[static_cast<std::size_t>(o)];
  for (std::size_t k = 0; k < q.split.channels.size(); ++k)
    for (std::int64_t o = 0; o < q.out; ++o) {
      const std::size_t at = k * static_cast<std::size_t>(q.out) + static_cast<std::size_t>(o);
      weight.data_ptr<float>()[o * q.in + q.split.channels[k]] =
          q.split.quantized ? static_cast<float>(q.split.codes[at]) * q.split.weight_scale[k]
                            : q.split.values[at];
    }
  return weight;
}

TEST(FloatBlock, ComputesTheCodesProductWithoutOnlineRotations) {
  const TempDir directory;
  calibrate_into(directory / "calibration", qwen2_vl(),
                 {.overrides = {"round.method=rtn", "suppress.weight_ratio=1.2", "schemes.embed=w8a16"}});
  const CalibrationStore store = CalibrationStore::open(directory / "calibration");
  const Config config = Config::open(store.identity().model / "config.json");
  const ModelSpec model = find_family(config).describe(config);
  int rotated = 0, split = 0, quantized = 0, embeddings = 0;
  for (const BlockSpec& spec : model.blocks) {
    const StoredBlock stored = store.read(spec.name);
    const Block codes = from_stored(stored, spec), floats = float_block(stored, spec);
    EXPECT_TRUE(floats.embeddings.empty());
    for (const auto& [name, table] : codes.embeddings) {
      EXPECT_TRUE(floats.param(name).equal(as_defined(*table)));
      ++embeddings;
    }
    for (const LinearSpec& linear_spec : spec.linears) {
      const Linear& linear = codes.linear(linear_spec.name);
      const Linear& made = floats.linear(linear_spec.name);
      EXPECT_EQ(made.quantized, nullptr);
      EXPECT_FALSE(made.rotation);
      const at::Tensor x = at::randn({3, linear_spec.in});
      const at::Tensor weight = linear.quantized == nullptr ? linear.weight : as_defined(*linear.quantized);
      const at::Tensor expected = at::linear(rotate_input(linear, x), weight, linear.bias);
      const at::Tensor found = at::linear(x, made.weight, made.bias);
      EXPECT_LT((found - expected).abs().max().item<double>(),
                1e-4 * expected.abs().max().item<double>() + 1e-6)
          << spec.name << " " << linear_spec.name;
      rotated += linear.rotation ? 1 : 0;
      quantized += linear.quantized != nullptr ? 1 : 0;
      split += linear.quantized != nullptr && !linear.quantized->split.empty() ? 1 : 0;
    }
  }
  EXPECT_EQ(embeddings, 1);
  EXPECT_GT(quantized, 20);
  EXPECT_GT(rotated, 2);
  EXPECT_GT(split, 0);
}

TEST(Converted, ChangesEveryTensorsType) {
  const BlockSpec spec = [] {
    BlockSpec s;
    s.name = "test";
    return s;
  }();
  Block block(spec);
  block.linears["a"].weight = at::randn({2, 3});
  block.norms["n"].scale = at::randn({3});
  block.params["p"] = at::randn({4, 3});
  const Block half = narrowed(block, at::kBFloat16);
  EXPECT_EQ(half.linear("a").weight.scalar_type(), at::kBFloat16);
  EXPECT_FALSE(half.linear("a").bias.defined());
  EXPECT_EQ(half.norm("n").scale.scalar_type(), at::kBFloat16);
  EXPECT_EQ(half.param("p").scalar_type(), at::kBFloat16);
  EXPECT_EQ(block.linear("a").weight.scalar_type(), at::kFloat) << "the original stays";
  EXPECT_EQ(bytes_of(half), 2 * (6 + 3 + 12));
  EXPECT_EQ(bytes_of(block), 4 * (6 + 3 + 12));
}

}  // namespace
}  // namespace mquant::test
