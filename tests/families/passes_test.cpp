// Passes that claim to keep the function do so in every family: each alone, and all together, on every golden case.
#include <gtest/gtest.h>

#include <fstream>

#include "eval/loaded_model.h"
#include "io/pytorch_bin.h"
#include "mquant/error.h"
#include "mquant/family.h"
#include "mquant/pass.h"
#include "nn/stored.h"
#include "passes/facts.h"
#include "tests/families/goldens.h"
#include "tests/support/tiny_model.h"

namespace mquant::test {
namespace {

constexpr double kBound32 = 1e-4, kBound64 = 1e-9;  // of the largest logit

struct PassCall {
  std::string name, options;
};
struct Calls {
  std::string name;
  std::vector<PassCall> passes;
  bool reorder = false;
};

const PassCall kFold{"fold-norms", R"({"where": "everywhere"})"}, kFoldRotated{"fold-norms", "{}"},
    kBake{"bake-means", "{}"}, kRotate{"rotate", "{}"}, kOnline{"rotate-online", "{}"};

std::vector<Calls> all_calls() {
  return {{"fold", {kFold}},
          {"bake", {kFold, kBake}},
          {"R1 vision", {kFold, kBake, {"rotate", R"({"decoder": false, "value": false})"}}},
          {"R1 decoder", {kFold, {"rotate", R"({"vision": false, "value": false})"}}},
          {"R2", {{"rotate", R"({"vision": false, "decoder": false})"}}},
          {"R4", {{"rotate-online", R"({"mode": "signs", "projector": true})"}}},
          {"AIFS", {}, true},
          {"default", {kFoldRotated, kBake, kRotate, kOnline}, true},
          {"all", {kFold, kBake, {"rotate", "{}"}, {"rotate-online", R"({"projector": true})"}}, true}};
}

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

/// Blocks with passes applied in float64, then in `dtype`.
std::vector<Block> blocks_of(const Checkpoint& checkpoint, const ModelSpec& model, const Calls& calls,
                             at::ScalarType dtype) {
  PassContext ctx;
  ctx.model = &model;
  ctx.seed = 7;
  ctx.scheme = [](const BlockSpec&) { return parse_scheme("w4a8"); };
  for (const Space space : streams_to_rotate(RotateOptions()))
    if (!exempted(model, "rotate", space)) ctx.rotated.insert(space);
  std::vector<Block> blocks;
  for (const BlockSpec& spec : model.blocks) {
    Block block = load_block(checkpoint, model, spec, at::kDouble);
    for (const PassCall& call : calls.passes) {
      const PassInfo& info = find_pass(call.name);
      EXPECT_EQ(info.effect, Effect::keeps_function) << call.name;
      info.make(complete(info, call.options))->run(block, ctx);
    }
    blocks.push_back(converted(std::move(block), dtype));
  }
  return blocks;
}

class FamilyPasses : public testing::TestWithParam<std::string> {};

TEST_P(FamilyPasses, KeepTheFunction) {
  const std::filesystem::path directory = golden_path(GetParam());
  const Config config = Config::open(directory / "model" / "config.json");
  const Family& family = find_family(config);
  const ModelSpec model = family.describe(config);
  const Checkpoint checkpoint = Checkpoint::open(directory / "model", open_pytorch_bin);
  const auto processor = family.make_processor(directory / "model", config, {});
  std::vector<Features> features;
  for (const Sample& sample : read_samples(directory / "cases.jsonl"))
    features.push_back(processor->features(sample, WithAnswer::no));
  ASSERT_GE(features.size(), 6U);
  for (const auto& [dtype, bound] : {std::pair{at::kFloat, kBound32}, std::pair{at::kDouble, kBound64}}) {
    const std::vector<Block> plain = blocks_of(checkpoint, model, {}, dtype);
    std::vector<at::Tensor> wanted;
    for (const Features& f : features) wanted.push_back(run_model(plain, f, dtype, false));
    for (const Calls& calls : all_calls()) {
      const std::vector<Block> blocks = blocks_of(checkpoint, model, calls, dtype);
      double worst = 0;
      for (std::size_t i = 0; i < features.size(); ++i)
        worst = std::max(
            worst, relative_difference(run_model(blocks, features[i], dtype, calls.reorder), wanted[i]));
      EXPECT_LT(worst, bound) << calls.name;
      RecordProperty(calls.name + (dtype == at::kFloat ? " float32" : " float64"), std::to_string(worst));
      std::printf("  %-12s %-10s %s  %.1e\n", GetParam().c_str(), calls.name.c_str(),
                  dtype == at::kFloat ? "float32" : "float64", worst);
    }
  }
}

/// A rotation that a family exempts, and no other, leaves its space alone.
TEST_P(FamilyPasses, TurnWhatIsNotExempted) {
  const std::filesystem::path directory = golden_path(GetParam());
  const Config config = Config::open(directory / "model" / "config.json");
  const ModelSpec model = find_family(config).describe(config);
  const Checkpoint checkpoint = Checkpoint::open(directory / "model", open_pytorch_bin);
  const std::vector<Block> blocks = blocks_of(
      checkpoint, model, {"", {kFold, kBake, {"rotate", "{}"}, {"rotate-online", "{}"}}}, at::kDouble);
  std::map<Space, int> turned;
  int online = 0;
  for (const Block& block : blocks) {
    for (const auto& [space, frame] : block.frames) turned[space] += frame.turned ? 1 : 0;
    for (const auto& [name, linear] : block.linears) online += linear.rotation ? 1 : 0;
  }
  for (const Space space : {Space::vision, Space::decoder})
    EXPECT_EQ(turned[space] > 0, !exempted(model, "rotate", space)) << space_name(space);
  EXPECT_GE(turned[Space::value], 4);
  EXPECT_GE(online, 4);
}

/// A norm gives its scale away where a rotation of the stream evens it out, and keeps it elsewhere; linears that read an
/// exempted stream get a rotation at run time, the same for all that share an input, and no others but those of MLPs.
TEST_P(FamilyPasses, FoldNormsWhereTheStreamIsRotatedAndRotateOnlineWhereItCannotBe) {
  const std::filesystem::path directory = golden_path(GetParam());
  const Config config = Config::open(directory / "model" / "config.json");
  const ModelSpec model = find_family(config).describe(config);
  const Checkpoint checkpoint = Checkpoint::open(directory / "model", open_pytorch_bin);
  const std::vector<Block> blocks =
      blocks_of(checkpoint, model, {"", {kFoldRotated, kBake, kRotate, kOnline}}, at::kDouble);
  int folded = 0, kept = 0, rotated = 0;
  for (const Block& block : blocks)
    for (const LinearGroup& group : linear_groups(block.spec()))
      for (const std::string& name : group.linears) {
        const LinearSpec& linear = block.spec().linear(name);
        const bool stream = is_stream(linear.reads),
                   exempt = stream && exempted(model, "rotate", linear.reads);
        const bool online = static_cast<bool>(block.linear(name).rotation);
        EXPECT_EQ(online, exempt || (linear.reads == Space::hidden && block.spec().tower != Tower::projector))
            << block.spec().name << " " << name;
        EXPECT_EQ(block.linear(name).rotation.signs, block.linear(group.linears[0]).rotation.signs);
        rotated += online && stream ? 1 : 0;
        if (linear.norm.empty()) continue;
        EXPECT_EQ(block.norm(linear.norm).scale.defined(), !stream || exempt)
            << block.spec().name << " " << name;
        ++(block.norm(linear.norm).scale.defined() ? kept : folded);
      }
  EXPECT_GT(folded, 0);
  EXPECT_TRUE(kept > 10 || !exempted(model, "rotate", Space::decoder));
  EXPECT_EQ(rotated > 0,
            exempted(model, "rotate", Space::decoder) || exempted(model, "rotate", Space::vision));
}

INSTANTIATE_TEST_SUITE_P(AllFamilies, FamilyPasses, testing::ValuesIn(golden_families()),
                         [](const auto& family) { return family.param; });

}  // namespace
}  // namespace mquant::test
