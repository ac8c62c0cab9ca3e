// A chat template given by --chat-template, and its date, go with the calibration into its artifact.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "eval/loaded_model.h"
#include "mquant/error.h"
#include "mquant/sample.h"
#include "pipeline/source.h"
#include "tests/pipeline/runs.h"
#include "tests/support/files.h"
#include "tests/support/temp_dir.h"

namespace mquant::test {
namespace fs = std::filesystem;
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr const char* kDate = "2026-11-30";
constexpr const char* kTemplate =
    "{{ strftime_now('%A %F') }}{% for m in messages %}<|im_start|>{{ m.role }}: {% for c in m.content %}"
    "{{ '<|vision_start|><|image_pad|><|vision_end|>' if c.type == 'image' else c.text }}{% endfor %}"
    "<|im_end|>{% endfor %}{{ '<|im_start|>assistant: ' if add_generation_prompt }}";

class StatedTemplate : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory_ = std::make_unique<TempDir>();
    write_text(file(), kTemplate);
    calibrate(options());
    export_into(artifact(), calibration());
  }
  static void TearDownTestSuite() { directory_.reset(); }
  static fs::path file() { return *directory_ / "t.jinja"; }
  static fs::path calibration() { return *directory_ / "calibration"; }
  static fs::path artifact() { return *directory_ / "artifact"; }
  static CalibrateOptions options() {
    CalibrateOptions options{
        .model = qwen2_vl().model, .data = qwen2_vl().samples, .output = calibration(), .recipe = "w8a8"};
    options.run.threads = 1;
    options.run.chat_template = file();
    options.run.template_date = kDate;
    return options;
  }
  static std::string prompt_of(const Processor& processor) {
    return processor.prompt(read_samples(qwen2_vl().samples, 1)[0]);
  }
  static std::string prompt_of(const fs::path& model) {
    return prompt_of(LoadedModel::open(model).processor());
  }

  static std::unique_ptr<TempDir> directory_;
};

std::unique_ptr<TempDir> StatedTemplate::directory_;

TEST_F(StatedTemplate, IsThatOfTheArtifact) {
  EXPECT_EQ(read_text(artifact() / "chat_template.jinja"), kTemplate);
  EXPECT_FALSE(fs::exists(artifact() / "chat_template.json"));
  const std::string prompt = prompt_of(*open_source(qwen2_vl().model, {kTemplate, "t", kDate}).processor);
  EXPECT_THAT(prompt, testing::StartsWith("Monday 2026-11-30<|im_start|>"));
  EXPECT_NE(prompt, prompt_of(*open_source(qwen2_vl().model).processor));
  EXPECT_EQ(prompt_of(calibration()), prompt);
  EXPECT_EQ(prompt_of(artifact()), prompt);
}

TEST_F(StatedTemplate, AnotherCountsForOneRun) {
  const ChatTemplate other{cat("other ", kTemplate), "other"}, tuesday{{}, {}, "2026-12-01"};
  const auto prompt = [](const fs::path& model, const ChatTemplate& stated) {
    return prompt_of(LoadedModel::open(model, Executor::fast, stated).processor());
  };
  for (const fs::path& model : {calibration(), artifact()}) {
    EXPECT_THAT(prompt(model, other), testing::StartsWith("other Monday")) << model;
    EXPECT_THAT(prompt(model, tuesday), testing::StartsWith("Tuesday 2026-12-01")) << model;
  }
  EXPECT_THAT(prompt(qwen2_vl().model, tuesday.over(other)), testing::StartsWith("other Tuesday"));
}

TEST_F(StatedTemplate, IsAskedForByResume) {
  CalibrateOptions again = options();
  again.resume = true;
  EXPECT_TRUE(is_quantized_into(again, artifact()));
  calibrate(again);  // complete already
  const auto refusal = [](const CalibrateOptions& changed) -> std::string {
    EXPECT_FALSE(is_quantized_into(changed, artifact()));
    try {
      calibrate(changed);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::usage) << error.what();
      return error.what();
    }
    return "resumed";
  };
  again.run.template_date = "2026-12-01";
  EXPECT_THAT(refusal(again), HasSubstr("--template-date was 2026-11-30 and is 2026-12-01"));
  again.run.chat_template.clear();
  EXPECT_THAT(refusal(again),
              AllOf(HasSubstr("--chat-template was of SHA-256 "), HasSubstr(" and is absent")));
}

TEST_F(StatedTemplate, ADamagedDateOfAnArtifactIsBadInput) {
  const fs::path damaged = *directory_ / "damaged";
  fs::copy(artifact(), damaged);
  std::string manifest = read_text(damaged / "mquant_manifest.json");
  manifest.replace(manifest.find(kDate), std::string_view(kDate).size(), "2026-13-30");
  write_text(damaged / "mquant_manifest.json", manifest);
  try {
    LoadedModel::open(damaged);
    ADD_FAILURE() << "opened";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::input);
    EXPECT_THAT(error.what(), HasSubstr("expected YYYY-MM-DD, found '2026-13-30'"));
  }
}

TEST_F(StatedTemplate, ExportNeedsNoFile) {
  fs::rename(file(), *directory_ / "away");
  export_into(*directory_ / "again", calibration());
  fs::rename(*directory_ / "away", file());
  expect_same_files(artifact(), *directory_ / "again", 8);
}

}  // namespace
}  // namespace mquant::test
