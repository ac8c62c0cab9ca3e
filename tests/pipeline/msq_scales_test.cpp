// MSQ: the static scale of a token class is the largest magnitude of exactly that class's rows over 127.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <map>
#include <sstream>

#include "eval/loaded_model.h"
#include "mquant/artifact.h"
#include "mquant/error.h"
#include "pipeline/source.h"
#include "tests/pipeline/runs.h"
#include "tests/support/files.h"
#include "tests/support/temp_dir.h"

namespace mquant::test {
namespace {

namespace fs = std::filesystem;

/// Inputs stay those of the float model, so that the test can make them again.
constexpr const char* kScalesOnly = R"({
  "summary": "scales of the float model's inputs",
  "schemes": {"patch_embed": "w8a8", "vision": "w8a8", "projector": "w8a8", "decoder": "w4a8"},
  "passes": [{"pass": "calibrate-scales", "granularity": "per_class"}, {"pass": "round", "method": "rtn"}],
  "calibration": {"propagate": "float"}
})";

using Maxima = std::array<float, kTokenClasses>;  // 0: no row of the class
using MaximaByLinear = std::map<std::string, Maxima>;

/// max|x| of every linear's input rows by class, over all samples, in the float model.
MaximaByLinear maxima(const SourceModel& source, const std::vector<Features>& samples) {
  MaximaByLinear found;
  for (const Features& features : samples) {
    SampleState state = start(features, at::kFloat);
    for (const BlockSpec& spec : source.model.blocks) {
      if (!takes_part(spec, features)) continue;
      const Block block = load_block(source.checkpoint, source.model, spec, at::kFloat);
      for (std::size_t i = 0; i < spec.steps.size(); ++i) {
        const Step& step = spec.steps[i];
        if (step.op == Op::linear) {
          const at::Tensor largest = state.registers.at(step.in[0]).abs().amax(1).contiguous();  // [rows]
          Maxima& of = found[spec.name + "." + step.name];
          for (std::int64_t r = 0; r < largest.size(0); ++r) {
            const TokenClass c =
                spec.on_tokens ? features.token_class[static_cast<std::size_t>(r)] : TokenClass::visual;
            float& most = of[static_cast<std::size_t>(c)];
            most = std::max(most, largest.data_ptr<float>()[r]);
          }
        }
        run_steps(block, state, i, i + 1);
      }
    }
  }
  return found;
}

/// The least bfloat16 that is not below max / 127.
float expected_scale(float most) {
  const double exact = static_cast<double>(most) / 127;
  const auto bits = std::bit_cast<std::uint32_t>(static_cast<float>(exact)) & 0xFFFF0000U;
  const auto below = std::bit_cast<float>(bits);
  return static_cast<double>(below) >= exact ? below : std::bit_cast<float>(bits + 0x10000U);
}

class MsqScales : public testing::TestWithParam<bool> {};

TEST_P(MsqScales, AreTheLargestMagnitudeOfTheClass) {
  const bool sink = GetParam();
  const TempDir directory;
  write_text(directory / "scales.json", kScalesOnly);
  calibrate_into(directory / "calibration", qwen2_vl(),
                 {.recipe = directory / "scales.json",
                  .overrides = {sink ? "calibration.sink=true" : "calibration.sink=false"}});
  const SourceModel source = open_source(qwen2_vl().model);
  std::vector<Features> samples =
      all_features(*source.processor, source.model, read_samples(qwen2_vl().samples), WithAnswer::yes);
  if (sink)
    for (Features& features : samples) features.token_class[0] = TokenClass::sink;
  const MaximaByLinear wanted = maxima(source, samples);
  const CalibrationStore store = CalibrationStore::open(directory / "calibration");
  std::array<int, kTokenClasses> compared{};
  for (const BlockSpec& spec : source.model.blocks)
    for (const auto& [name, linear] : store.read(spec.name).linears) {
      if (!linear.quantized) continue;
      const Maxima& most = wanted.at(spec.name + "." + name);
      for (std::size_t c = 0; c < most.size(); ++c) {
        const std::optional<float>& scale = linear.quantized->input_scales.scale[c];
        ASSERT_EQ(scale.has_value(), most[c] > 0) << spec.name << " " << name << " class " << c;
        if (!scale) continue;
        EXPECT_EQ(*scale, expected_scale(most[c])) << spec.name << " " << name << " class " << c;
        ++compared[c];
      }
    }
  EXPECT_EQ(compared[static_cast<std::size_t>(TokenClass::text)], 3 * 7);
  EXPECT_EQ(compared[static_cast<std::size_t>(TokenClass::visual)], 1 + 2 * 6 + 2 + 3 * 7);
  EXPECT_EQ(compared[static_cast<std::size_t>(TokenClass::sink)], sink ? 3 * 7 : 0);
}

INSTANTIATE_TEST_SUITE_P(Sink, MsqScales, testing::Bool(),
                         [](const auto& test) { return test.param ? "OfItsOwn" : "AsText"; });

/// The lines of qwen2_vl's samples with pictures by absolute path.
std::vector<std::string> sample_lines() {
  const std::string images = (qwen2_vl().samples.parent_path() / "images").string();
  std::vector<std::string> lines;
  std::istringstream text(read_text(qwen2_vl().samples));
  for (std::string line; std::getline(text, line);) {
    for (std::size_t at = 0; (at = line.find("\"images/", at)) != std::string::npos; ++at)
      line.replace(at + 1, 6, images);
    lines.push_back(line);
  }
  return lines;
}

fs::path write_lines(const fs::path& file, const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  write_text(file, text);
  return file;
}

TEST(Msq, ScalesDoNotDependOnTheOrderOfSamples) {
  const TempDir directory;
  std::vector<std::string> lines = sample_lines();
  ASSERT_EQ(lines.size(), 6U);
  const fs::path forward = write_lines(directory / "forward.jsonl", lines);
  std::ranges::reverse(lines);
  const fs::path backward = write_lines(directory / "backward.jsonl", lines);
  calibrate_into(directory / "a", {qwen2_vl().model, forward}, {.recipe = "w8a8"});
  calibrate_into(directory / "b", {qwen2_vl().model, backward}, {.recipe = "w8a8"});
  expect_same_files(directory / "a" / "blocks", directory / "b" / "blocks", 16);
}

/// A class that calibration has not seen has no scale, and running it is the user's error, told in words.
TEST(Msq, TextOnlyCalibrationRefusesPictures) {
  const TempDir directory;
  const fs::path text = write_lines(directory / "text.jsonl", {sample_lines().at(1)});
  calibrate_into(directory / "calibration", {qwen2_vl().model, text},
                 {.overrides = {"calibration.classes=text,sink"}});
  const LoadedModel model = LoadedModel::open(directory / "calibration");
  const CalibrationStore store = CalibrationStore::open(directory / "calibration");
  int seen = 0;
  for (const BlockSpec& spec : model.spec().blocks)
    for (const auto& [name, linear] : store.read(spec.name).linears) {
      if (!linear.quantized || linear.quantized->scheme.activation_bits == 16) continue;
      const ClassScales& scales = linear.quantized->input_scales;
      EXPECT_FALSE(scales.of(TokenClass::visual)) << spec.name << " " << name;
      EXPECT_EQ(scales.of(TokenClass::text).has_value(), spec.on_tokens) << spec.name << " " << name;
      ++seen;
    }
  EXPECT_EQ(seen, 1 + 2 * 6 + 2 + 3 * 7);
  std::vector<KvCache> none;
  const auto features = [&](const char* id) {
    return model.features({sample_named(qwen2_vl().samples, id)}, WithAnswer::no).front();
  };
  EXPECT_EQ(model.logits(features("text"), none, 0, LogitRows::last).size(0), 1);
  try {
    model.logits(features("photo"), none, 0, LogitRows::last);
    FAIL() << "a picture ran without scales";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::input);
    EXPECT_THAT(error.what(), testing::HasSubstr("no static scale for visual tokens"));
    EXPECT_THAT(error.what(), testing::HasSubstr("calibrate with samples that have them"));
  }
}

TEST(Msq, OneScaleForAllClassesNeedsSamplesToo) {
  const TempDir directory;
  const fs::path text = write_lines(directory / "text.jsonl", {sample_lines().at(1)});
  calibrate_into(directory / "calibration", {qwen2_vl().model, text},
                 {.overrides = {"calibrate-scales.granularity=per_tensor", "calibration.classes=text,sink"}});
  const CalibrationStore store = CalibrationStore::open(directory / "calibration");
  const ClassScales vision = store.read("vision.0").linears.at("q").quantized.value().input_scales;
  const ClassScales decoder = store.read("decoder.0").linears.at("q").quantized.value().input_scales;
  for (std::size_t c = 0; c < vision.scale.size(); ++c) {
    EXPECT_FALSE(vision.scale[c]);
    EXPECT_EQ(decoder.scale[c].value(), decoder.scale[0].value());
  }
}

}  // namespace
}  // namespace mquant::test
