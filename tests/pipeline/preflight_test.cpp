// What is told before the first block: the same by plan_model (inspect, --dry-run) and by calibrate, which leaves nothing
// behind then.
#include "pipeline/preflight.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>

#include "eval/loaded_model.h"
#include "io/safetensors.h"
#include "mquant/artifact.h"
#include "mquant/error.h"
#include "pipeline/format_check.h"
#include "pipeline/head_tie.h"
#include "pipeline/identity.h"
#include "tests/pipeline/edited_source.h"
#include "tests/pipeline/runs.h"
#include "tests/support/files.h"
#include "tests/support/temp_dir.h"

namespace mquant::test {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;

void rename(Tensors& tensors, const std::string& from, const std::string& to) {
  auto node = tensors.extract(from);
  ASSERT_FALSE(node.empty()) << from;
  node.key() = to;
  tensors.insert(std::move(node));
}

TEST(Preflight, TheGoldenHasNoObstacle) { EXPECT_STREQ(refusal(Edited().options()).what(), "done"); }

TEST(Preflight, TensorsThatAreMissingOrOfAnotherShapeAreToldFromHeaders) {
  Edited missing, shaped, ints;
  missing.tensors([](Tensors& t) { t.erase("model.layers.2.mlp.down_proj.weight"); });
  expect_refusal(missing.options(), ErrorKind::input,
                 HasSubstr("no tensor 'model.layers.2.mlp.down_proj.weight'"));
  shaped.tensors([](Tensors& t) {
    TensorData& norm = t.at("model.layers.1.input_layernorm.weight");
    norm.shape[0] -= 1;
    norm.bytes.resize(norm.bytes.size() - 2);
  });
  expect_refusal(shaped.options(), ErrorKind::input,
                 AllOf(HasSubstr("'model.layers.1.input_layernorm.weight': expected shape ["),
                       HasSubstr("by config.json, found [")));
  missing.tensors([](Tensors& t) { t.erase("model.norm.weight"); });
  expect_refusal(missing.options(), ErrorKind::input, HasSubstr("2 tensors are missing"));
}

TEST(Preflight, AHeadThatIsNotTiedMustBeStored) {
  Edited edited;
  edited.tensors([](Tensors& t) { t.erase("lm_head.weight"); });
  expect_refusal(edited.options(), ErrorKind::input,
                 HasSubstr("no tensor 'lm_head.weight', and tie_word_embeddings is false"));
  edited.json("config.json", [](Json& c) { c["tie_word_embeddings"] = true; });
  EXPECT_STREQ(refusal(edited.options()).what(), "done");
}

TEST(Preflight, OtherHeadsAndAdaptersAreNotQuantized) {
  Edited reward, adapter, wrapped;
  reward.tensors([](Tensors& t) { rename(t, "lm_head.weight", "score.weight"); });
  expect_refusal(reward.options(), ErrorKind::unsupported, HasSubstr("'score.weight'"));
  reward.json("config.json", [](Json& c) { c["architectures"] = {"Qwen2VLForSequenceClassification"}; });
  expect_refusal(reward.options(), ErrorKind::unsupported, HasSubstr("Qwen2VLForSequenceClassification"));
  write_text(adapter.model() / "adapter_config.json", R"({"base_model_name_or_path": "Qwen/Qwen2-VL"})");
  expect_refusal(adapter.options(), ErrorKind::unsupported,
                 AllOf(HasSubstr("Qwen/Qwen2-VL"), HasSubstr("merge")));
  wrapped.tensors([](Tensors& t) {
    t["model.layers.0.self_attn.q_proj.lora_A.default.weight"] = t.at("model.norm.weight");
  });
  expect_refusal(wrapped.options(), ErrorKind::unsupported, HasSubstr("merge"));
}

TEST(Preflight, AQuantizedCheckpointIsRefusedAndAStaleConfigIsNot) {
  Edited edited;
  edited.json("config.json", [](Json& c) {
    c["quantization_config"] = {{"quant_method", "bitsandbytes"}, {"load_in_4bit", true}};
  });
  EXPECT_STREQ(refusal(edited.options()).what(), "done");
  edited.tensors([](Tensors& t) {
    rename(t, "model.layers.0.mlp.down_proj.weight", "model.layers.0.mlp.down_proj.qweight");
  });
  expect_refusal(edited.options(), ErrorKind::unsupported,
                 AllOf(HasSubstr("quantized already"), HasSubstr("bitsandbytes"), HasSubstr("qweight")));
  Edited coded;
  coded.tensors([](Tensors& t) {
    TensorData& weight = t.at("model.layers.0.mlp.down_proj.weight");
    weight = {DType::i8, weight.shape, std::vector<std::byte>(weight.bytes.size() / 2)};
  });
  expect_refusal(coded.options(), ErrorKind::unsupported, HasSubstr("quantized already"));
}

TEST(Preflight, NoArtifactSaysWhatAStaleConfigSaid) {
  Edited edited;
  edited.json("config.json", [](Json& c) {
    c["quantization_config"] = {{"quant_method", "gptq"}};
    c["vision_config"]["quantization_config"] = {{"quant_method", "awq"}};
  });
  const TempDir directory;
  calibrate_into(directory / "calibration", {edited.model(), qwen2_vl().samples},
                 {.recipe = "rtn-w4a8-static"});
  export_into(directory / "artifact", directory / "calibration", "mquant");
  const Json config = Json::parse(read_text(directory / "artifact" / "config.json"));
  EXPECT_EQ(config["quantization_config"]["quant_method"], "mquant");
  EXPECT_FALSE(config["vision_config"].contains("quantization_config"));
}

TEST(Preflight, ANaNInAnyTensorIsNamed) {
  Edited edited;
  std::vector<std::string> names = Checkpoint::open(edited.model()).names();
  ASSERT_GT(names.size(), 60U);
  for (const std::string& name : names) {
    TensorData kept;
    edited.tensors([&](Tensors& t) {
      TensorData& poisoned = t.at(name);
      kept = poisoned;
      ASSERT_EQ(poisoned.dtype, DType::bf16);
      const std::uint16_t nan = 0x7FC0;
      std::memcpy(poisoned.bytes.data() + poisoned.bytes.size() - 2, &nan, 2);
    });
    try {
      plan_model(edited.options());
      ADD_FAILURE() << name;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::input);
      EXPECT_THAT(error.what(), HasSubstr("tensor '" + name + "' holds NaN at ["));
    }
    edited.tensors([&](Tensors& t) { t.at(name) = kept; });
  }
  edited.tensors(
      [](Tensors& t) { t["read.by.nobody"] = {DType::bf16, {1}, {std::byte{0x80}, std::byte{0x7F}}}; });
  expect_refusal(edited.options(), ErrorKind::input, HasSubstr("'read.by.nobody' holds an infinity at [0]"));
}

TEST(Preflight, TokensBeyondTheEmbeddingsAreNamed) {
  Edited edited;
  std::int64_t rows = 0;
  edited.json("config.json", [&](Json& c) { rows = c["vocab_size"].get<std::int64_t>(); });
  edited.json("tokenizer.json", [&](Json& t) {
    const auto last = t["added_tokens"].back()["id"].get<std::int64_t>();
    for (std::int64_t id = last + 1; id < rows + 2; ++id)
      t["added_tokens"].push_back({{"id", id},
                                   {"content", cat("<act_", id, ">")},
                                   {"single_word", false},
                                   {"lstrip", false},
                                   {"rstrip", false},
                                   {"normalized", false},
                                   {"special", true}});
  });
  expect_refusal(edited.options(), ErrorKind::input,
                 AllOf(HasSubstr(cat("token '<act_", rows, ">' has id ", rows, ", but the embeddings have ",
                                     rows, " rows")),
                       HasSubstr("2 tokens in all")));
  const TempDir directory;
  write_text(directory / "act.jsonl",
             cat(R"({"messages": [{"role": "user", "content": "go <act_)", rows + 1, R"(>"}]})", "\n"));
  const LoadedModel model = LoadedModel::open(edited.model());
  try {
    model.features(read_samples(directory / "act.jsonl"), WithAnswer::no);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::input);
    EXPECT_THAT(error.what(), HasSubstr(cat("token '<act_", rows + 1, ">' has id ", rows + 1)));
  }
}

TEST(Preflight, SamplesMustReachWhatIsQuantized) {
  const TempDir directory;
  write_text(directory / "text.jsonl", R"({"messages": [{"role": "user", "content": "Name a fruit."}]})"
                                       "\n");
  PlanOptions options = Edited().options();
  options.model = qwen2_vl().model;
  options.data = directory / "text.jsonl";
  expect_refusal(options, ErrorKind::input,
                 AllOf(HasSubstr("no visual rows"), HasSubstr("calibration.classes")));
  options.overrides = {"schemes.vision=w8a16", "schemes.patch_embed=w8a16", "schemes.projector=w8a16",
                       "schemes.decoder=w4a16"};
  expect_refusal(options, ErrorKind::input, HasSubstr("no visual rows"));
  options.overrides.push_back("calibration.classes=text,sink");
  EXPECT_STREQ(refusal(options).what(), "done");
}

TEST(Preflight, AClassThatIsLeftOutMustNotBeInTheSamples) {
  PlanOptions options = Edited().options();
  options.model = qwen2_vl().model;
  options.overrides = {"calibration.classes=text,sink"};
  expect_refusal(options, ErrorKind::input,
                 HasSubstr("has a picture, but calibration.classes, text,sink, leaves out visual"));
}

TEST(Preflight, AClassThatIsLeftOutHasNoScalesAndItsTowerIsRoundedToNearest) {
  const TempDir directory;
  write_text(directory / "text.jsonl", R"({"messages": [{"role": "user", "content": "Name a fruit."}]})"
                                       "\n");
  calibrate_into(directory / "calibration", {qwen2_vl().model, directory / "text.jsonl"},
                 {.recipe = "w4a8", .overrides = {"calibration.classes=text,sink"}});
  const CalibrationStore store = CalibrationStore::open(directory / "calibration");
  const StoredBlock block = store.read("vision.0");
  for (const auto& [name, linear] : block.linears) {
    ASSERT_TRUE(linear.quantized) << name;
    EXPECT_FALSE(linear.quantized->input_scales.of(TokenClass::visual)) << name;
    EXPECT_GT(std::ranges::count_if(linear.quantized->codes, [](int code) { return code != 0; }),
              std::ssize(linear.quantized->codes) / 2)
        << name;
  }
}

TEST(Preflight, FilesThatLinkOutOfTheModelOrMayNotBeReadAreTold) {
  const TempDir elsewhere;
  Edited linked, closed;
  fs::rename(linked.model() / "tokenizer_config.json", elsewhere / "secret.json");
  fs::create_symlink(elsewhere / "secret.json", linked.model() / "tokenizer_config.json");
  expect_refusal(
      linked.options(), ErrorKind::input,
      AllOf(HasSubstr("tokenizer_config.json"), HasSubstr("is a link out of the model's directory")));
  write_text(closed.model() / "LICENSE", "of somebody else");
  fs::permissions(closed.model() / "LICENSE", fs::perms::none);
  const SourceModel source = open_source(closed.model());
  const bool root = geteuid() == 0;  // may read everything
  fs::permissions(closed.model(), fs::perms(0755));
  ASSERT_TRUE(!root || seteuid(65534) == 0);
  Obstacles obstacles;
  check_files(source, obstacles);
  ASSERT_TRUE(!root || seteuid(0) == 0);
  try {
    obstacles.raise();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::resources);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("LICENSE"), HasSubstr("Permission denied")));
  }
}

TEST(Preflight, SeveralObstaclesHaveTheCodeOfTheFirst) {
  Edited edited;
  edited.tensors([](Tensors& t) { t.erase("model.norm.weight"); });
  PlanOptions options = edited.options();
  options.format = "compressed-tensors";
  expect_refusal(options, ErrorKind::input, HasSubstr("2 obstacles"));
}

TEST(Preflight, AFormatIsForeseenToRefuseWhatItRefuses) {
  const SourceModel source = open_source(qwen2_vl().model);
  for (const RecipeInfo& info : all_recipes()) {
    const TempDir directory;
    calibrate_into(directory / "calibration", qwen2_vl(), {.recipe = info.name});
    const CalibrationStore store = CalibrationStore::open(directory / "calibration");
    const ExportInput input{&store, &source.model, &source.checkpoint, "", "", 0};
    Recipe recipe = load_recipe(info.name);
    settle_embeddings(recipe, source);
    for (const FormatInfo& format : all_formats())
      EXPECT_EQ(foreseen_refusals(format, recipe, source), format.refuses(question_of(input)))
          << info.name << " in " << format.name;
  }
}

TEST(Preflight, AFormatThatRefusesIsToldWithARecipeThatItTakes) {
  PlanOptions options = Edited().options();
  options.model = qwen2_vl().model;
  options.format = "compressed-tensors";
  expect_refusal(options, ErrorKind::unsupported,
                 AllOf(HasSubstr("online rotation"), HasSubstr("RMSNorm"), HasSubstr("--recipe ")));
}

TEST(Preflight, ADiskWithoutRoomIsTold) {
  Obstacles obstacles;
  check_space(fs::temp_directory_path() / "not" / "there", 1, obstacles);
  EXPECT_TRUE(obstacles.none());
  check_space(fs::temp_directory_path() / "not" / "there", INT64_MAX, obstacles);
  try {
    obstacles.raise();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::resources);
    EXPECT_THAT(error.what(), HasSubstr("will be written there"));
  }
}

}  // namespace
}  // namespace mquant::test
