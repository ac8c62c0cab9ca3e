// Which tokens become sinks: by the rule of a model, and how the rule is found.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "mquant/artifact.h"
#include "pipeline/find_sinks.h"
#include "pipeline/source.h"
#include "tests/pipeline/runs.h"
#include "tests/support/files.h"
#include "tests/support/outlier_model.h"
#include "tests/support/temp_dir.h"

namespace mquant::test {
namespace {

using enum TokenClass;
using testing::ElementsAre;

/// Ids 7 8 [v v] 8 9 [v v] 7, two pictures of two tokens.
Features prompt() {
  Features f;
  f.input_ids = {7, 8, 99, 99, 8, 9, 99, 99, 7};
  f.picture = {-1, -1, 0, 0, -1, -1, 1, 1, -1};
  for (const std::int64_t picture : f.picture) f.token_class.push_back(picture < 0 ? text : visual);
  return f;
}

std::vector<TokenClass> marked(const SinkRule& rule, Features f = prompt()) {
  mark_sinks(rule, f);
  return f.token_class;
}

TEST(SinkRule, NamesTheFirstToken) {
  EXPECT_THAT(marked({.first_token = true}),
              ElementsAre(sink, text, visual, visual, text, text, visual, visual, text));
}

TEST(SinkRule, NamesTheFirstOccurrenceOfAnIdAfterTheFirstTokenAndNoOther) {
  EXPECT_THAT(marked({.first_of = {8, 9, 55}}),
              ElementsAre(text, sink, visual, visual, text, sink, visual, visual, text));
  EXPECT_THAT(marked({.first_of = {7}}),
              ElementsAre(text, text, visual, visual, text, text, visual, visual, sink));
}

TEST(SinkRule, NamesTheFirstVisualTokenOfEachPicture) {
  EXPECT_THAT(marked({.first_visual = true}),
              ElementsAre(text, text, sink, visual, text, text, sink, visual, text));
}

TEST(SinkRule, LeavesAnAnswerAlone) {
  Features f = prompt();
  f.answer_begin = 4;
  EXPECT_THAT(marked({.first_visual = true, .first_of = {9}}, f),
              ElementsAre(text, text, sink, visual, text, text, visual, visual, text));
}

TEST(SinkRule, LeavesLaterTurnsAlone) {
  Features f = prompt();
  f.prompt_length = 30;
  EXPECT_EQ(marked({.first_token = true, .first_visual = true, .first_of = {8}}, f), prompt().token_class);
}

TEST(SinkRule, DoesNotTakeAVisualTokenForAnId) {
  EXPECT_EQ(marked({.first_of = {99}}), prompt().token_class);
}

Sample sample_of(const std::string& digest, bool picture) {
  Sample sample;
  sample.digest = digest;
  sample.messages = {{"user", {{.kind = picture ? ContentPart::Kind::image : ContentPart::Kind::text}}}};
  return sample;
}

TEST(Representatives, AreOfBothKindsAndDoNotDependOnTheOrderOfSamples) {
  std::vector<Sample> samples;
  for (const char* digest : {"a", "b", "c", "d", "e", "f"}) samples.push_back(sample_of(digest, false));
  for (const char* digest : {"g", "h"}) samples.push_back(sample_of(digest, true));
  EXPECT_THAT(representatives(samples, 4), ElementsAre(6, 7, 0, 3));
  std::ranges::reverse(samples);
  EXPECT_THAT(representatives(samples, 4), ElementsAre(1, 0, 7, 4));
  EXPECT_THAT(representatives(samples, 100), testing::SizeIs(8));
  EXPECT_THAT(representatives(samples, 0), ElementsAre());
}

SinkRule found_in(const std::filesystem::path& model) {
  const SourceModel source = open_source(model);
  const std::vector<Sample> samples = read_samples(qwen2_vl().samples);
  return find_sinks(source, samples, all_features(*source.processor, source.model, samples, WithAnswer::yes),
                    pixels_of(*source.processor, samples, WithAnswer::yes));
}

TEST(FindSinks, FindsAMassiveFirstToken) {
  const TempDir directory;
  write_outlier_model(data_path("goldens/qwen2_vl"), directory / "model", {.massive_first_token = true});
  EXPECT_TRUE((found_in(directory / "model") == SinkRule{.first_token = true}));
}

TEST(FindSinks, FindsNoneWhereTheRecipeLeavesTheirClassOut) {
  const TempDir directory;
  write_outlier_model(data_path("goldens/qwen2_vl"), directory / "model", {.massive_first_token = true});
  const auto rule = [&](const std::string& classes) {
    calibrate_into(directory / classes, {directory / "model", qwen2_vl().samples},
                   {.recipe = "w8a8", .overrides = {"calibration.classes=" + classes}});
    return CalibrationStore::sinks_of(directory / classes);
  };
  EXPECT_TRUE((rule("all") == SinkRule{.first_token = true}));
  EXPECT_TRUE(rule("text,visual") == SinkRule{});
}

TEST(FindSinks, FindsAnIdThatIsMassive) {
  const SourceModel golden = open_source(qwen2_vl().model);
  const Features f = golden.processor->features(read_samples(qwen2_vl().samples, 1)[0], WithAnswer::no);
  const std::int64_t id = f.input_ids.at(2);
  const TempDir directory;
  write_outlier_model(data_path("goldens/qwen2_vl"), directory / "model", {.massive_id = id});
  EXPECT_THAT(found_in(directory / "model").first_of, ElementsAre(id));
}

TEST(FindSinks, FindsNoneWhereActivationsAreEven) { EXPECT_TRUE(found_in(qwen2_vl().model) == SinkRule{}); }

TEST(FindSinks, IsTheRuleOfCalibrationAndArtifactUnlessForbidden) {
  const TempDir directory;
  write_outlier_model(data_path("goldens/qwen2_vl"), directory / "model", {.massive_first_token = true});
  const TestData data{directory / "model", qwen2_vl().samples};
  for (const auto& [setting, wanted] :
       {std::pair{"auto", true}, std::pair{"true", true}, std::pair{"false", false}}) {
    const std::string name = setting;
    calibrate_into(directory / name, data,
                   {.overrides = {"calibration.sink=" + name, "calibration.samples=2", "round.method=rtn"}});
    export_into(directory / (name + "-artifact"), directory / name, "auto");
    EXPECT_EQ(CalibrationStore::sinks_of(directory / name).first_token, wanted) << name;
    const SourceModel source = open_source(data.model);
    EXPECT_EQ(Artifact::open(directory / (name + "-artifact"), source.model).sinks().first_token, wanted)
        << name;
  }
}

}  // namespace
}  // namespace mquant::test
