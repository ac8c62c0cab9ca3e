#include "mquant/artifact.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "artifact/sidecars.h"
#include "artifact/tensor_data.h"
#include "io/convert.h"
#include "mquant/error.h"
#include "support/sha256.h"
#include "tests/support/files.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/artifact/made_up_model.h"

namespace mquant {
namespace {
namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using test::Contents;
using test::MadeUp;
using testing::HasSubstr;

/// One export of each kind for all tests that only read.
struct Exported {
  MadeUp made;
  fs::path directory;
  Checkpoint tensors;

  Exported(Contents contents, const std::string& format)
      : made(contents), directory(made.directory() / "artifact"), tensors(write(made, format, directory)) {}
  static Checkpoint write(const MadeUp& made, const std::string& format, const fs::path& directory) {
    write_artifact(made.input(), format, directory, false);
    return Checkpoint::open(directory);
  }
  Json config() const { return Json::parse(test::read_text(directory / "config.json")); }
  Json manifest() const { return Json::parse(test::read_text(directory / "mquant_manifest.json")); }
};

const Exported& ours() {
  static const Exported exported(Contents::all, "mquant");
  return exported;
}
const Exported& theirs() {
  static const Exported exported(Contents::plain, "compressed-tensors");
  return exported;
}

void expect_round_trip(const Exported& exported) {
  const Artifact artifact = Artifact::open(exported.directory, exported.made.model());
  for (const BlockSpec& spec : exported.made.model().blocks)
    EXPECT_EQ(test::difference(artifact.read(spec.name), exported.made.block(spec.name)), "") << spec.name;
  EXPECT_EQ(artifact.sample_digests(), (std::vector<std::string>{sha256_hex("1"), sha256_hex("2")}));
}

TEST(ArtifactRoundTrip, MquantFormatGivesBackEveryBlock) { expect_round_trip(ours()); }
TEST(ArtifactRoundTrip, CompressedTensorsGivesBackEveryBlock) { expect_round_trip(theirs()); }

TEST(ArtifactRoundTrip, SameCalibrationGivesSameBytes) {
  const MadeUp again(Contents::all);
  write_artifact(again.input(), "mquant", again.directory() / "artifact", false);
  auto a = test::contents_of(ours().directory), b = test::contents_of(again.directory() / "artifact");
  EXPECT_EQ(a, b);
}

TEST(ArtifactSidecars, AStatedChatTemplateIsTheOneThatLoadersTake) {
  const MadeUp made(Contents::plain);
  const fs::path from = made.source().directory(), to = made.directory() / "sidecars";
  fs::create_directory(to);
  test::write_text(from / "chat_template.json", R"({"chat_template": "own"})");
  test::write_text(from / "chat_template.jinja", "own");
  test::write_text(from / "processor_config.json", R"({"b": 0.5, "chat_template": "own", "a": 1})");
  std::map<std::string, std::string> digests;
  for (const WrittenFile& file : copy_sidecars(made.source(), to, "stated")) digests[file.name] = file.sha256;
  EXPECT_FALSE(fs::exists(to / "chat_template.json"));
  EXPECT_EQ(test::read_text(to / "chat_template.jinja"), "stated");
  EXPECT_EQ(Json::parse(test::read_text(to / "processor_config.json")).dump(), R"({"b":0.5,"a":1})");
  for (const auto& [name, text] : test::contents_of(to))
    EXPECT_EQ(digests.at(name), sha256_hex(text)) << name;
  fs::remove_all(to);
  fs::create_directory(to);
  copy_sidecars(made.source(), to);
  for (const char* name : {"chat_template.json", "chat_template.jinja", "processor_config.json"})
    EXPECT_EQ(test::read_text(to / name), test::read_text(from / name));
}

TEST(ArtifactTensors, NamesAreThoseOfTheCheckpoint) {
  EXPECT_TRUE(ours().tensors.has("language.model.layers.0.attention.wqkv.weight_packed"));
  EXPECT_TRUE(ours().tensors.has("language.model.layers.0.attention.wqkv.bias"));
  EXPECT_TRUE(ours().tensors.has("visual.proj"));
  EXPECT_FALSE(ours().tensors.has("language.model.layers.0.attention.wqkv.weight"));
  EXPECT_FALSE(ours().tensors.has("model.layers.0.attention.wqkv.weight_packed"));
}

// y = sum_i q[i] w[i] of one row by hand from the bytes, as docs/format.md tells to read them.
TEST(ArtifactTensors, PackedCodesAreReadByHand) {
  const QuantizedLinear q = *ours().made.block("decoder.1").linears.at("k").quantized;
  const TensorView packed = ours().tensors.get("language.model.layers.1.attn.k_proj.weight_packed");
  ASSERT_EQ(packed.shape, (std::vector<std::int64_t>{8, 2}));
  for (std::size_t row = 0; row < 8; ++row)
    for (std::size_t j = 0; j < 16; ++j) {
      const auto byte = static_cast<unsigned>(packed.bytes[row * 8 + j / 2]);
      EXPECT_EQ(static_cast<int>((byte >> (j % 2 * 4)) & 15) - 8, q.codes[row * 16 + j]);
    }
  const TensorView eight = ours().tensors.get("visual.blocks.0.mlp.fc1.weight_packed");
  const QuantizedLinear up = *ours().made.block("vision.0").linears.at("up").quantized;
  for (std::size_t i = 0; i < up.codes.size(); ++i)
    EXPECT_EQ(static_cast<int>(eight.bytes[i]) - 128, up.codes[i]);
}

TEST(ArtifactTensors, ClassScalesAreInOrderAndAbsentOnesAreNaN) {
  const ClassScales scales = ours().made.block("decoder.1").linears.at("down").quantized->input_scales;
  const std::string module = "language.model.layers.1.mlp.down_proj";
  const std::vector<float> row = f32_values(ours().tensors.get(module + ".input_scale_by_class"));
  ASSERT_EQ(row.size(), 3);
  EXPECT_EQ(row[0], scales.of(TokenClass::text));
  EXPECT_EQ(row[1], scales.of(TokenClass::visual));
  EXPECT_TRUE(std::isnan(row[2]));
  EXPECT_EQ(f32_values(ours().tensors.get(module + ".input_scale"))[0], std::max(row[0], row[1]));
  const Json entry = ours().manifest()["linears"][module];
  EXPECT_EQ(entry["empty_classes"], Json::parse(R"(["sink"])"));
  EXPECT_EQ(entry["input_scales"]["text"].get<float>(), row[0]);
  EXPECT_TRUE(entry["input_scales"]["sink"].is_null());
}

TEST(ArtifactTensors, SplitColumnsAndSignsAreStored) {
  const std::string quantized = "language.model.layers.0.mlp.down_proj",
                    floats = "language.model.layers.1.mlp.down_proj";
  EXPECT_EQ(ours().tensors.get(quantized + ".split_weight").dtype, DType::i8);
  EXPECT_EQ(ours().tensors.get(quantized + ".split_input_scale").shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(ours().tensors.get(floats + ".split_weight").dtype, DType::f32);
  EXPECT_FALSE(ours().tensors.has(quantized + ".input_rotation_signs"));  // a plain Hadamard there
  EXPECT_EQ(ours().tensors.get(floats + ".input_rotation_signs").shape, (std::vector<std::int64_t>{20}));
}

TEST(ArtifactTensors, ScalesHaveTheModelsTypeInCompressedTensors) {
  const std::string module = "language.model.layers.1.attn.q_proj";
  EXPECT_EQ(theirs().tensors.get(module + ".weight_scale").dtype, DType::bf16);
  EXPECT_EQ(ours().tensors.get(module + ".weight_scale").dtype, DType::f32);
  const ClassScales scales = theirs().made.block("decoder.1").linears.at("q").quantized->input_scales;
  const float stored = to_floats(theirs().tensors.get(module + ".input_scale"))[0];
  const float largest = std::max(*scales.scale[0], *scales.scale[1]);
  EXPECT_GE(stored, largest);
  EXPECT_LE(stored, largest * 1.008F);
  EXPECT_FALSE(theirs().tensors.has(module + ".input_scale_by_class"));
}

TEST(ArtifactTensors, FoldedNormsAreOnesAndZeros) {
  const TensorView scale = theirs().tensors.get("visual.blocks.0.norm2.weight");
  EXPECT_EQ(scale.dtype, DType::bf16);
  EXPECT_TRUE(all_equal(scale, 1));
  EXPECT_TRUE(all_equal(theirs().tensors.get("visual.blocks.0.norm2.bias"), 0));
}

TEST(ArtifactTensors, WhatNoBlockDescribesIsPassedThrough) {
  const TensorView before = ours().made.source().get("visual.unused.inv_freq");
  const TensorView after = ours().tensors.get("visual.unused.inv_freq");
  EXPECT_TRUE(std::equal(before.bytes.begin(), before.bytes.end(), after.bytes.begin(), after.bytes.end()));
}

TEST(ArtifactConfig, KeepsOrderUntiesTheHeadAndNamesTheMethod) {
  const Json config = ours().config();
  std::vector<std::string> keys;
  for (const auto& [key, value] : config.items()) keys.push_back(key);
  EXPECT_THAT(keys, testing::ElementsAre("zebra", "model_type", "tie_word_embeddings", "text_config", "apple",
                                         "quantization_config"));
  EXPECT_EQ(config["tie_word_embeddings"], false);
  EXPECT_EQ(config["text_config"]["tie_word_embeddings"], false);
  EXPECT_EQ(config["quantization_config"]["quant_method"], "mquant");
  EXPECT_TRUE(ours().tensors.has("lm_head.weight"));
}

TEST(ArtifactConfig, CompressedTensorsSaysWhatIsQuantizedAndWhatIsNot) {
  const Json q = theirs().config()["quantization_config"];
  EXPECT_EQ(q["quant_method"], "compressed-tensors");
  EXPECT_EQ(q["quantization_status"], "compressed");
  ASSERT_EQ(q["config_groups"].size(), 2);
  const Json &four = q["config_groups"]["group_0"], &eight = q["config_groups"]["group_1"];
  EXPECT_EQ(four["weights"]["num_bits"], 4);
  EXPECT_EQ(four["input_activations"]["dynamic"], false);
  EXPECT_EQ(eight["weights"]["num_bits"], 8);
  EXPECT_THAT(eight["targets"].dump(), HasSubstr(R"(visual\\.blocks\\.\\d+\\.mlp\\.fc1$)"));
  EXPECT_THAT(q["ignore"].dump(), HasSubstr(R"(lm_head$)"));
  EXPECT_THAT(q["ignore"].dump(), HasSubstr("patch_embed"));
}

TEST(ArtifactConfig, HeadThatIsStillTheEmbeddingIsStoredOnce) {
  MadeUp made(Contents::plain);
  const fs::path store = made.directory() / "tied";
  CalibrationStore calibration =
      CalibrationStore::create(store, test::made_up_identity(made.directory() / "source"));
  for (const BlockSpec& spec : made.model().blocks) {
    StoredBlock block = made.block(spec.name);
    if (spec.name == "head") block.linears["head"].weight = made.block("embed").params["table"];
    calibration.add(block);
  }
  calibration.finish("{}");
  ExportInput input = made.input();
  input.calibration = &calibration;
  write_artifact(input, "mquant", made.directory() / "out", false);
  EXPECT_FALSE(Checkpoint::open(made.directory() / "out").has("lm_head.weight"));
  EXPECT_THAT(test::read_text(made.directory() / "out" / "config.json"),
              HasSubstr("\"tie_word_embeddings\": true"));
  const StoredBlock head = Artifact::open(made.directory() / "out", made.model()).read("head");
  EXPECT_EQ(head.linears.at("head").weight.bytes, made.block("embed").params.at("table").bytes);
  EXPECT_TRUE(verify_artifact(made.directory() / "out", made.model()).problems.empty());
}

TEST(ArtifactFiles, SidecarsAreCopiedAndListed) {
  for (const char* name : {"tokenizer.json", "modeling_made_up.py"}) {
    EXPECT_EQ(test::read_text(ours().directory / name),
              test::read_text(ours().made.directory() / "source" / name));
    EXPECT_EQ(ours().manifest()["files"][name]["sha256"], sha256_file(ours().directory / name));
  }
  EXPECT_FALSE(fs::exists(ours().directory / ".gitattributes"));
  EXPECT_GT(Checkpoint::open(ours().directory).files().size(), 1) << "the index is not tested by one shard";
}

TEST(ArtifactFormats, AutoTakesCompressedTensorsOnlyWhereItComputesRight) {
  EXPECT_EQ(find_format("auto", theirs().made.input()).name, "compressed-tensors");
  EXPECT_EQ(find_format("auto", ours().made.input()).name, "mquant");
}

TEST(ArtifactFormats, WhatEnginesWouldComputeWrongIsRefusedByName) {
  const auto refusal = [](auto change) {
    MadeUp made(Contents::plain);
    CalibrationStore calibration = CalibrationStore::create(
        made.directory() / "changed", test::made_up_identity(made.directory() / "source"));
    for (const BlockSpec& spec : made.model().blocks) {
      StoredBlock block = made.block(spec.name);
      if (spec.name == "decoder.1" || spec.name == "vision.0") change(block);
      calibration.add(block);
    }
    calibration.finish("{}");
    ExportInput input = made.input();
    input.calibration = &calibration;
    try {
      write_artifact(input, "compressed-tensors", made.directory() / "out", false);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::unsupported);
      EXPECT_FALSE(fs::exists(made.directory() / "out"));
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_THAT(
      refusal([](StoredBlock& b) { b.linears["o"].rotation = {b.linears["o"].quantized->in, 4, {}}; }),
      HasSubstr("online rotation"));
  EXPECT_THAT(refusal([](StoredBlock& b) {
                b.norms["norm1"].kind = NormKind::rms;
                b.norms["norm1"].shift = {};
              }),
              HasSubstr("RMSNorm"));
  EXPECT_THAT(refusal([](StoredBlock& b) {
                b.linears["o"].bias = filled(1, {b.linears["o"].quantized->out}, DType::bf16);
              }),
              HasSubstr("'language.model.layers.1.attn.o_proj' has a bias"));
  EXPECT_THAT(refusal([](StoredBlock& b) { b.linears["o"].quantized->weight_scale[0] = 0.1F; }),
              HasSubstr("BF16"));
  EXPECT_THAT(refusal([](StoredBlock& b) { b.linears["o"].quantized->input_scales = {}; }),
              HasSubstr("no input scale"));
  EXPECT_EQ(refusal([](StoredBlock&) {}), "");
}

TEST(ArtifactFormats, WhatLiesUnderANameOfOursIsNotForEngines) {
  const MadeUp made(Contents::plain);
  const auto format_with = [&](auto change) {
    ModelSpec model = made.model();
    const auto block = std::ranges::find(model.blocks, std::string("decoder.1"), &BlockSpec::name);
    change(std::ranges::find(block->linears, std::string("o"), &LinearSpec::name)->weight);
    ExportInput input = made.input();
    input.model = &model;
    return find_format("auto", input).name;
  };
  EXPECT_EQ(format_with([](Source&) {}), "compressed-tensors");
  EXPECT_EQ(format_with([](Source& weight) { weight.stored_as = "ours.weight"; }), "mquant");
  EXPECT_EQ(format_with([](Source& weight) { weight.identity = true; }), "mquant");
}

TEST(ArtifactFormats, UnknownNameGetsTheNearest) {
  try {
    find_format("mqant", ours().made.input());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    EXPECT_THAT(error.what(), HasSubstr("did you mean 'mquant'"));
  }
}

}  // namespace
}  // namespace mquant
