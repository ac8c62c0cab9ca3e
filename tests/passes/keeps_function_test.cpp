// Passes that claim to keep the function do: float64 to 1e-9, float32 to 1e-4, alone and together, and on a tower with
// biases, class token, position table, grouped heads and a tied head.
#include <gtest/gtest.h>

#include "mquant/error.h"
#include "mquant/pass.h"
#include "tests/support/tiny_model.h"

namespace mquant::test {
namespace {

struct PassCall {
  std::string name, options;
};

void PrintTo(const PassCall& call, std::ostream* out) { *out << call.name << call.options; }

/// The options of a pass with its defaults filled in.
Config complete(const PassInfo& info, const std::string& overrides) {
  const Config given = Config::parse(overrides, "test");
  std::string text = "{";
  for (const PassOption& option : info.options) {
    const std::string value = given.has(option.name) ? given.raw(option.name) : option.fallback;
    text += (text.size() > 1 ? ", \"" : "\"") + option.name + "\": " + value;
  }
  return Config::parse(text + "}", "test");
}

std::vector<Block> load_all(const TinyModel& tiny, at::ScalarType dtype) {
  std::vector<Block> blocks;
  for (const BlockSpec& spec : tiny.spec.blocks)
    blocks.push_back(load_block(tiny.checkpoint, tiny.spec, spec, dtype));
  return blocks;
}

void apply(const std::vector<PassCall>& calls, const TinyModel& tiny, std::vector<Block>& blocks) {
  PassContext ctx;
  ctx.model = &tiny.spec;
  ctx.seed = 7;
  ctx.scheme = [](const BlockSpec&) { return parse_scheme("w4a8"); };
  ctx.rotated = {Space::vision, Space::decoder};
  for (Block& block : blocks)
    for (const PassCall& call : calls) {
      const PassInfo& info = find_pass(call.name);
      ASSERT_EQ(info.effect, Effect::keeps_function) << call.name;
      info.make(complete(info, call.options))->run(block, ctx);
    }
}

using Calls = std::vector<PassCall>;

class KeepsFunction : public testing::TestWithParam<Calls> {};

TEST_P(KeepsFunction, InFloat64AndFloat32) {
  const auto tiny = tiny_model();
  for (const auto& [dtype, bound] : {std::pair{at::kDouble, 1e-9}, std::pair{at::kFloat, 1e-4}})
    for (const std::string layout : {"ttt", "tvtt", "vtvvt"}) {
      const Features features = tiny_features(tiny->spec, layout, 3);
      std::vector<Block> blocks = load_all(*tiny, dtype);
      const at::Tensor before = run_model(blocks, features, dtype, false);
      apply(GetParam(), *tiny, blocks);
      const at::Tensor after = run_model(blocks, features, dtype, false);
      EXPECT_LT(relative_difference(after, before), bound) << layout;
    }
}

const PassCall kFold{"fold-norms", R"({"where": "everywhere"})"}, kBake{"bake-means", "{}"};

INSTANTIATE_TEST_SUITE_P(
    Passes, KeepsFunction,
    testing::Values(Calls{kFold}, Calls{kFold, kBake},
                    Calls{kFold, kBake, {"rotate", R"({"decoder": false, "value": false})"}},
                    Calls{kFold, {"rotate", R"({"vision": false, "value": false})"}},
                    Calls{{"rotate", R"({"vision": false, "decoder": false})"}},
                    Calls{{"rotate-online", R"({"mode": "hadamard", "projector": true})"}},
                    Calls{{"rotate-online", R"({"mode": "signs"})"}},
                    Calls{kFold, kBake, {"rotate", "{}"}, {"rotate-online", R"({"projector": true})"}}));

TEST(FoldNorms, LeavesBareNorms) {
  const auto tiny = tiny_model();
  std::vector<Block> blocks = load_all(*tiny, at::kDouble);
  apply({kFold}, *tiny, blocks);
  for (const Block& block : blocks)
    for (const auto& [name, norm] : block.norms) {
      EXPECT_FALSE(norm.scale.defined()) << block.spec().name << " " << name;
      EXPECT_FALSE(norm.shift.defined()) << block.spec().name << " " << name;
    }
}

TEST(BakeMeans, TurnsEveryLayerNormOfTheTowerIntoRmsNorm) {
  const auto tiny = tiny_model();
  std::vector<Block> blocks = load_all(*tiny, at::kDouble);
  apply({kFold, kBake}, *tiny, blocks);
  for (const Block& block : blocks)
    for (const auto& [name, norm] : block.norms) EXPECT_EQ(norm.kind, NormKind::rms) << block.spec().name;
}

TEST(Rotate, RefusesANormThatItWouldBreak) {
  const auto tiny = tiny_model();
  std::vector<Block> blocks = load_all(*tiny, at::kDouble);
  EXPECT_THROW(apply({kFold, {"rotate", "{}"}}, *tiny, blocks), Error);  // LayerNorms are left
}

TEST(Rotate, ChangesTheWeights) {
  const auto tiny = tiny_model();
  std::vector<Block> blocks = load_all(*tiny, at::kDouble);
  const at::Tensor before = blocks.back().linear("head").weight.clone();
  apply({kFold, kBake, {"rotate", "{}"}}, *tiny, blocks);
  EXPECT_GT(relative_difference(blocks.back().linear("head").weight, before), 0.1);
}

}  // namespace
}  // namespace mquant::test
