// Embeddings and head as codes: stored once or apart, for us or for engines, and what lies about them meet.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <tuple>

#include "artifact/manifest.h"
#include "mquant/error.h"
#include "tests/support/files.h"
#include "tests/unit/artifact/made_up_model.h"

namespace mquant {
namespace {
namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using test::Contents;
using test::MadeUp;
using testing::HasSubstr;

/// A made-up model whose embeddings are codes, and its head too: those codes, or others.
class EndsInCodes {
 public:
  explicit EndsInCodes(bool same) : made_(Contents::plain) {
    CalibrationStore calibration = CalibrationStore::create(
        made_.directory() / "coded", test::made_up_identity(made_.directory() / "source"));
    for (const BlockSpec& spec : made_.model().blocks) {
      StoredBlock block = made_.block(spec.name);
      if (spec.name == "embed") {
        table_ = test::made_up_embedding(spec.params.at(0));
        block.params.clear();
        block.embeddings["table"] = table_;
      } else if (spec.name == "head") {
        block.linears["head"] = table_;
        if (!same) block.linears["head"].quantized->weight_scale[3] *= 2;
      }
      calibration.add(block);
    }
    calibration.finish("{}");
    ExportInput input = made_.input();
    input.calibration = &calibration;
    EXPECT_EQ(find_format("auto", input).name, "mquant") << "engines look for float embeddings";
    write_artifact(input, "mquant", out(), false);
  }
  fs::path out() const { return made_.directory() / "out"; }
  const ModelSpec& model() const { return made_.model(); }
  const StoredLinear& table() const { return table_; }
  StoredBlock read(const std::string& block) const { return Artifact::open(out(), model()).read(block); }
  std::vector<std::string> problems() const { return verify_artifact(out(), model()).problems; }
  Json manifest() const { return Json::parse(test::read_text(out() / kManifestFile)); }
  void tell(const Json& manifest) const {
    test::write_text(out() / kManifestFile, sealed(OrderedJson::parse(manifest.dump())));
  }

 private:
  MadeUp made_;
  StoredLinear table_;
};

TEST(CodedEnds, HeadOfTheEmbeddingsCodesIsStoredOnce) {
  const EndsInCodes ends(true);
  const Checkpoint tensors = Checkpoint::open(ends.out());
  EXPECT_TRUE(tensors.has("language.model.embed_tokens.weight_packed"));
  EXPECT_FALSE(tensors.has("language.model.embed_tokens.weight"));
  for (const char* name : {"lm_head.weight", "lm_head.weight_packed", "lm_head.weight_scale"})
    EXPECT_FALSE(tensors.has(name)) << name;
  EXPECT_THAT(test::read_text(ends.out() / "config.json"), HasSubstr("\"tie_word_embeddings\": true"));
  EXPECT_EQ(ends.manifest()["linears"]["lm_head"]["tied_to"], "language.model.embed_tokens.weight");
  EXPECT_EQ(ends.read("head").linears.at("head").quantized->codes, ends.table().quantized->codes);
  EXPECT_EQ(ends.read("head").linears.at("head").quantized->weight_scale,
            ends.table().quantized->weight_scale);
  EXPECT_EQ(ends.read("embed").embeddings.at("table").quantized->codes, ends.table().quantized->codes);
  EXPECT_THAT(ends.problems(), testing::IsEmpty());
}

TEST(CodedEnds, HeadOfOtherCodesIsStoredBesideTheEmbeddings) {
  const EndsInCodes ends(false);
  EXPECT_TRUE(Checkpoint::open(ends.out()).has("lm_head.weight_packed"));
  EXPECT_THAT(test::read_text(ends.out() / "config.json"), HasSubstr("\"tie_word_embeddings\": false"));
  EXPECT_FALSE(ends.manifest()["linears"]["lm_head"].contains("tied_to"));
  EXPECT_NE(ends.read("head").linears.at("head").quantized->weight_scale,
            ends.read("embed").embeddings.at("table").quantized->weight_scale);
  EXPECT_THAT(ends.problems(), testing::IsEmpty());
}

TEST(CodedEnds, LiesAboutATiedHeadAreFound) {
  const EndsInCodes ends(true);
  const Json honest = ends.manifest();
  const std::tuple<const char*, Json, const char*> lies[] = {
      {"tied_to", nullptr, "lm_head.weight_packed"},  // nothing is stored for it then
      {"tied_to", "language.model.norm.weight", "'tied_to'"},
      {"scheme", "w8a8", "lm_head"},
      {"split", {{"channels", {0}}, {"quantized", true}}, "'tied_to'"},
  };
  for (const auto& [key, value, names] : lies) {
    Json manifest = honest;
    if (value.is_null())
      manifest["linears"]["lm_head"].erase(key);
    else
      manifest["linears"]["lm_head"][key] = value;
    ends.tell(manifest);
    try {
      ends.read("head");
      ADD_FAILURE() << key << " " << value.dump() << " was believed";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::input);
      EXPECT_THAT(error.what(), HasSubstr(names)) << key;
    }
    EXPECT_THAT(ends.problems(), testing::Not(testing::IsEmpty())) << key;
  }
}

TEST(CodedEnds, EnginesTakeAHeadInCodesBesideFloatEmbeddings) {
  MadeUp made(Contents::plain);
  CalibrationStore calibration = CalibrationStore::create(
      made.directory() / "coded", test::made_up_identity(made.directory() / "source"));
  for (const BlockSpec& spec : made.model().blocks) {
    StoredBlock block = made.block(spec.name);
    if (spec.name == "head") {
      const ParamSpec table{
          .name = "table", .source = {}, .shape = {spec.linears[0].out, spec.linears[0].in}};
      block.linears["head"] = test::made_up_embedding(table);
    }
    calibration.add(block);
  }
  calibration.finish("{}");
  ExportInput input = made.input();
  input.calibration = &calibration;
  const fs::path out = made.directory() / "out";
  write_artifact(input, "compressed-tensors", out, false);
  const Json q = Json::parse(test::read_text(out / "config.json"))["quantization_config"];
  EXPECT_THAT(q["ignore"].dump(), testing::Not(HasSubstr("lm_head")));
  EXPECT_THAT(q["config_groups"].dump(), HasSubstr("lm_head$"));
  EXPECT_TRUE(Checkpoint::open(out).has("lm_head.weight_packed"));
  EXPECT_THAT(verify_artifact(out, made.model()).problems, testing::IsEmpty());
}

}  // namespace
}  // namespace mquant
