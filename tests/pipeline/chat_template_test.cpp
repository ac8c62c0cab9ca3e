// A chat template given by --chat-template goes with the calibration into its artifact.
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

using testing::HasSubstr;

constexpr const char* kTemplate =
    "{% for m in messages %}<|im_start|>{{ m.role }}: {% for c in m.content %}"
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
  const std::string prompt = prompt_of(*open_source(qwen2_vl().model, {kTemplate, "t"}).processor);
  EXPECT_NE(prompt, prompt_of(*open_source(qwen2_vl().model).processor));
  EXPECT_EQ(prompt_of(calibration()), prompt);
  EXPECT_EQ(prompt_of(artifact()), prompt);
}

TEST_F(StatedTemplate, AnotherCountsForOneRun) {
  const ChatTemplate other{cat("other ", kTemplate), "other"};
  for (const fs::path& model : {qwen2_vl().model, calibration(), artifact()})
    EXPECT_THAT(prompt_of(LoadedModel::open(model, Executor::fast, other).processor()),
                testing::StartsWith("other "))
        << model;
}

TEST_F(StatedTemplate, IsAskedForByResume) {
  CalibrateOptions again = options();
  again.resume = true;
  EXPECT_TRUE(is_quantized_into(again, artifact()));
  calibrate(again);  // complete already
  again.run.chat_template.clear();
  EXPECT_FALSE(is_quantized_into(again, artifact()));
  try {
    calibrate(again);
    ADD_FAILURE() << "resumed";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    EXPECT_THAT(error.what(), HasSubstr("--chat-template was of SHA-256 "));
    EXPECT_THAT(error.what(), HasSubstr(" and is absent"));
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
