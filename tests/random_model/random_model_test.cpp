#include "random_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <iterator>

#include "eval/loaded_model.h"
#include "mquant/error.h"
#include "tests/families/goldens.h"
#include "tests/support/temp_dir.h"

namespace mquant::test {
namespace {

namespace fs = std::filesystem;

std::string bytes_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class RandomModel : public testing::TestWithParam<std::string> {};

TEST_P(RandomModel, OpensAndRunsInTheShapesOfItsConfig) {
  const TempDir directory;
  const fs::path golden = golden_path(GetParam());
  const RandomModelReport report =
      write_random_model({.base = golden / "model", .output = directory / "random"});
  EXPECT_GT(report.tensors, 20);
  const LoadedModel model = LoadedModel::open(directory / "random");
  const Features features = model.features(read_samples(golden / "cases.jsonl", 1), WithAnswer::no).front();
  std::vector<KvCache> none;
  const at::Tensor logits = model.logits(features, none, 0, LogitRows::all);
  EXPECT_TRUE(logits.isfinite().all().item<bool>());
  EXPECT_GT(logits.std().item<double>(), 0);
}

INSTANTIATE_TEST_SUITE_P(AllFamilies, RandomModel, testing::ValuesIn(golden_families()),
                         [](const auto& family) { return family.param; });

const fs::path& base() {
  static const fs::path path = golden_path("qwen2_vl") / "model";
  return path;
}

TEST(RandomModelBytes, DependOnTheSeedAndNothingElse) {
  const TempDir directory;
  for (const auto& [name, seed] : {std::pair{"a", 1}, {"b", 1}, {"c", 2}})
    write_random_model(
        {.base = base(), .output = directory / name, .seed = static_cast<std::uint64_t>(seed)});
  const auto weights = [&](const char* name) { return bytes_of(directory / name / "model.safetensors"); };
  EXPECT_FALSE(weights("a").empty());
  EXPECT_TRUE(weights("a") == weights("b"));
  EXPECT_FALSE(weights("a") == weights("c"));
}

TEST(RandomModelShapes, AreMergedIntoTheConfig) {
  const TempDir directory;
  std::ofstream(directory / "shape.json") << R"({"num_hidden_layers": 5, "vision_config": {"depth": 1}})";
  write_random_model({.base = base(),
                      .output = directory / "random",
                      .shapes = {directory / "shape.json"},
                      .overrides = {"vision_config.depth=3"}});
  const Config config = Config::open(directory / "random" / "config.json");
  EXPECT_EQ(config.integer("num_hidden_layers"), 5);
  EXPECT_EQ(config.integer("vision_config.depth"), 3);
  EXPECT_EQ(config.integer("vision_config.embed_dim"),
            Config::open(base() / "config.json").integer("vision_config.embed_dim"));
  EXPECT_EQ(LoadedModel::open(directory / "random").spec().blocks.size(), 1U + 3 + 1 + 1 + 5 + 1);
}

TEST(RandomValue, IsNearNormal) {
  double sum = 0, squares = 0;
  constexpr int kCount = 100000;
  for (std::uint64_t i = 0; i < kCount; ++i) {
    const auto x = static_cast<double>(random_value(7, i, 0.5F, 2.0F));
    sum += x;
    squares += (x - 0.5) * (x - 0.5);
  }
  EXPECT_NEAR(sum / kCount, 0.5, 0.02);
  EXPECT_NEAR(std::sqrt(squares / kCount), 2.0, 0.02);
}

std::string message_of(const RandomModelOptions& options, ErrorKind kind) {
  try {
    write_random_model(options);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind);
    return error.what();
  }
  return "accepted";
}

TEST(RandomModelErrors, SayWhatIsWrongAndLeaveNothingBehind) {
  const TempDir directory;
  const auto with = [&](std::vector<std::string> overrides) {
    return RandomModelOptions{
        .base = base(), .output = directory / "random", .overrides = std::move(overrides)};
  };
  EXPECT_THAT(message_of(with({"num_hidden_layer=4"}), ErrorKind::usage),
              testing::HasSubstr("num_hidden_layer"));
  EXPECT_THAT(message_of(with({"hidden_size"}), ErrorKind::usage), testing::HasSubstr("KEY=JSON"));
  EXPECT_THAT(message_of(with({"hidden_size=six"}), ErrorKind::usage), testing::HasSubstr("expected JSON"));
  EXPECT_THAT(message_of(with({"hidden_size=63"}), ErrorKind::input), testing::HasSubstr("hidden_size"));
  EXPECT_THAT(message_of({.base = directory / "none", .output = directory / "random"}, ErrorKind::input),
              testing::HasSubstr("cannot be read"));
  EXPECT_FALSE(fs::exists(directory / "random"));
}

}  // namespace
}  // namespace mquant::test
