// What a calibration depends on: every file that a model's readers open, and none that they do not.
#include "pipeline/source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>

#include "artifact/sidecars.h"
#include "eval/loaded_model.h"
#include "mquant/artifact.h"
#include "mquant/error.h"
#include "pipeline/identity.h"
#include "tests/families/goldens.h"
#include "tests/pipeline/runs.h"
#include "tests/support/files.h"
#include "tests/support/temp_dir.h"

namespace mquant::test {
namespace fs = std::filesystem;
namespace {

using testing::HasSubstr;

class SourceFilesOf : public testing::TestWithParam<std::string> {};

std::vector<std::int64_t> ids_of(const SourceModel& source, const fs::path& data) {
  std::vector<std::int64_t> ids;
  for (const Features& f : all_features(*source.processor, source.model, read_samples(data), WithAnswer::yes))
    ids.insert(ids.end(), f.input_ids.begin(), f.input_ids.end());
  return ids;
}

TEST_P(SourceFilesOf, HoldEverythingThatAReaderNeeds) {
  const TempDir directory;
  const fs::path golden = golden_path(GetParam()), copy = directory / "model", data = golden / "cases.jsonl";
  fs::copy(golden / "model", copy);
  const SourceModel whole = open_source(copy);
  const SourceFiles files = files_of(whole);
  EXPECT_TRUE(files.opened.contains("config.json"));
  EXPECT_GT(files.config.size(), 5);
  for (const fs::path& weights : whole.checkpoint.files())
    EXPECT_TRUE(files.opened.contains(weights.filename().string())) << weights;
  const std::vector<std::int64_t> ids = ids_of(whole, data);
  for (const auto& [name, digest] : files.sidecars) fs::remove(copy / name);
  const SourceModel bare = open_source(copy);
  EXPECT_EQ(files_of(bare).opened, files.opened);
  EXPECT_EQ(ids_of(bare, data), ids);
}

TEST_P(SourceFilesOf, AChangeOfAnyThatWasOpenedIsNamed) {
  const TempDir directory;
  const fs::path copy = directory / "model";
  fs::copy(golden_path(GetParam()) / "model", copy);
  const SourceFiles before = files_of(open_source(copy));
  int changed = 0;
  for (const auto& [name, digest] : before.opened) {
    if (is_weights(name) || name == "config.json") continue;
    const std::string text = read_text(copy / name);
    write_text(copy / name, text + "\n");
    try {
      expect_unchanged(before, files_of(open_source(copy)), copy);
      ADD_FAILURE() << name;
    } catch (const Error& error) {  // a reader may refuse the file itself
      EXPECT_EQ(error.kind(), ErrorKind::input);
      EXPECT_THAT(error.what(), HasSubstr(name));
    }
    write_text(copy / name, text);
    ++changed;
  }
  EXPECT_GT(changed, 1);
  expect_unchanged(before, files_of(open_source(copy)), copy);
}

INSTANTIATE_TEST_SUITE_P(Families, SourceFilesOf, testing::ValuesIn(golden_families()),
                         [](const auto& test) { return test.param; });

class ChangedSource : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory_ = std::make_unique<TempDir>();
    fs::copy(qwen2_vl().model, model());
    calibrate_into(calibration(), {model(), qwen2_vl().samples}, {.recipe = "w8a8"});
  }
  static void TearDownTestSuite() { directory_.reset(); }
  static fs::path model() { return *directory_ / "model"; }
  static fs::path calibration() { return *directory_ / "calibration"; }

  /// The error of an export after `text` became the file `name`; "" if there is none.  The file is put back.
  static std::string export_after(const fs::path& name, const std::string& text) {
    const bool was = fs::exists(model() / name);
    const std::string before = was ? read_text(model() / name) : std::string();
    write_text(model() / name, text);
    std::string message;
    try {
      fs::remove_all(*directory_ / "artifact");
      export_into(*directory_ / "artifact", calibration());
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::input);
      message = error.what();
    }
    was ? write_text(model() / name, before) : static_cast<void>(fs::remove(model() / name));
    return message;
  }
  static std::string with(const std::string& name, const std::string& from, const std::string& to) {
    std::string text = read_text(model() / name);
    const std::size_t at = text.find(from);
    if (at == std::string::npos) throw std::runtime_error(name + " has no " + from);
    return text.replace(at, from.size(), to);
  }

  static std::unique_ptr<TempDir> directory_;
};

std::unique_ptr<TempDir> ChangedSource::directory_;

TEST_F(ChangedSource, IsNotExported) {
  for (const char* name : {"tokenizer.json", "preprocessor_config.json", "tokenizer_config.json"})
    EXPECT_THAT(export_after(name, read_text(model() / name) + " "), HasSubstr(name));
  const char* const shard = "model-00001-of-00002.safetensors";
  std::string weights = read_text(model() / shard);
  weights.back() = static_cast<char>(weights.back() ^ 1);
  EXPECT_THAT(export_after(shard, weights), HasSubstr(shard));
  EXPECT_THAT(export_after("config.json", with("config.json", "\"rms_norm_eps\": ", "\"rms_norm_eps\": 1")),
              HasSubstr("'rms_norm_eps' was"));
}

TEST_F(ChangedSource, AFileThatIsGoneIsNamedByExportAndEval) {
  const auto message = [](const std::function<void()>& work) -> std::string {
    try {
      work();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::input) << error.what();
      return error.what();
    }
    return "no error";
  };
  fs::rename(model() / "tokenizer.json", *directory_ / "away");
  const auto is_named = HasSubstr("is not the model of this calibration any more: 'tokenizer.json' is gone");
  EXPECT_THAT(message([] { export_into(*directory_ / "artifact", calibration()); }), is_named);
  EXPECT_THAT(message([] { LoadedModel::open(calibration()); }), is_named);
  fs::rename(*directory_ / "away", model() / "tokenizer.json");
}

TEST_F(ChangedSource, IsExportedWhereNoNumberDependsOnIt) {
  EXPECT_EQ(export_after("config.json", with("config.json", "{", "{\"_name_or_path\": \"elsewhere\", ")), "");
  EXPECT_EQ(export_after("config.json", with("config.json", "\"transformers_version\": \"",
                                             "\"transformers_version\": \"9")),
            "");
  EXPECT_EQ(export_after("README.md", "news"), "");
}

// As a merged adapter has it: float weights, and a config.json that calls them quantized.
TEST_F(ChangedSource, AQuantizationConfigMayBeRemoved) {
  const std::string clean = read_text(model() / "config.json"),
                    stale = R"("quantization_config": {"load_in_4bit": true}, )";
  for (const char* place : {"{", "\"vision_config\": {"}) {
    write_text(model() / "config.json", with("config.json", place, place + stale));
    const SourceFiles before = files_of(open_source(model()));
    write_text(model() / "config.json", clean);
    const SourceFiles now = files_of(open_source(model()));
    EXPECT_NE(before.opened.at("config.json"), now.opened.at("config.json"));
    expect_unchanged(before, now, model());
  }
}

TEST_F(ChangedSource, MayBeMoved) {
  const fs::path moved = *directory_ / "elsewhere" / model().filename();
  fs::create_directory(moved.parent_path());
  fs::rename(model(), moved);
  try {
    export_into(*directory_ / "lost", calibration());
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("--model"));
  }
  export_artifact({.calibration = calibration(), .output = *directory_ / "found", .model = moved});
  calibrate({.model = moved,
             .data = qwen2_vl().samples,
             .output = calibration(),
             .recipe = "w8a8",
             .resume = true});  // knows the new place from now on
  export_into(*directory_ / "again", calibration());
  expect_same_files(*directory_ / "found", *directory_ / "again", 3);
  fs::rename(moved, model());
  calibrate({.model = model(),
             .data = qwen2_vl().samples,
             .output = calibration(),
             .recipe = "w8a8",
             .resume = true});
}

TEST_F(ChangedSource, LinksOutOfTheModelAreNotCalibrated) {
  fs::rename(model() / "tokenizer_config.json", *directory_ / "secret.json");
  fs::create_symlink(*directory_ / "secret.json", model() / "tokenizer_config.json");
  try {
    calibrate_into(*directory_ / "linked", {model(), qwen2_vl().samples});
    ADD_FAILURE() << "a file from elsewhere was taken for the model's";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("is a link out of the model's directory"));
  }
  EXPECT_FALSE(fs::exists(*directory_ / "linked"));
  fs::remove(model() / "tokenizer_config.json");
  fs::rename(*directory_ / "secret.json", model() / "tokenizer_config.json");
}

}  // namespace
}  // namespace mquant::test
