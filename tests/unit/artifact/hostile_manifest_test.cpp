// Manifests that follow the schema and lie.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "artifact/manifest.h"
#include "mquant/error.h"
#include "tests/support/files.h"
#include "tests/unit/artifact/made_up_model.h"

namespace mquant {
namespace {
using test::Contents;
using test::MadeUp;

struct Lie {
  std::string pointer, value, names;  // what the message must name
};

class HostileManifest : public testing::Test {
 protected:
  HostileManifest() : made_(Contents::all), out_(made_.directory() / "out") {
    write_artifact(made_.input(), "mquant", out_, false);
    honest_ = test::read_text(out_ / kManifestFile);
  }
  void tell(const Lie& lie) {
    OrderedJson manifest = OrderedJson::parse(honest_);
    manifest[OrderedJson::json_pointer(lie.pointer)] = OrderedJson::parse(lie.value);
    test::write_text(out_ / kManifestFile, sealed(manifest));
  }
  /// What reading every block says.
  std::string error() const {
    try {
      const Artifact artifact = Artifact::open(out_, made_.model());
      for (const BlockSpec& block : made_.model().blocks) artifact.read(block.name);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::input) << error.what();
      return error.what();
    }
    return "";
  }

  MadeUp made_;
  std::filesystem::path out_;
  std::string honest_;
};

TEST_F(HostileManifest, EveryLieIsFoundByReadingAndByVerify) {
  const std::string down0 = "/linears/language.model.layers.0.mlp.down_proj";
  const std::string down1 = "/linears/language.model.layers.1.mlp.down_proj";
  const std::string qkv = "/linears/language.model.layers.0.attention.wqkv";
  const std::string keys = "/kv_cache/decoder.0/keys";
  const std::string table = "/embeddings/language.model.embed_tokens";
  const Json table_entry = Json::parse(honest_)["embeddings"]["language.model.embed_tokens"];
  const std::string zeros = "\"" + std::string(64, '0') + "\"";
  const Lie lies[] = {
      {"/source/family", "\"another\"", "another"},
      {down0 + "/out", "17", "down_proj"},
      {down0 + "/in", "4611686018427387904", "down_proj"},
      {down0 + "/weight_bits", "8", "down_proj"},
      {down0 + "/scheme", "\"w8a8\"", "down_proj"},
      {down0 + "/weight_scale_dtype", "\"I64\"", "weight_scale_dtype"},
      {down0 + "/input_scales/text", "0.5", "input_scale"},
      {down0 + "/input_scales/text", "-0.5", "down_proj"},
      {down0 + "/input_scales/text", "1e300", "down_proj"},
      {down0 + "/input_scales/sink", "0.25", "sink"},
      {down0 + "/rotation/block", "7", "rotation"},
      {down0 + "/rotation/size", "40", "rotation"},
      {down0 + "/rotation/orders", "[20]", "rotation"},
      {down0 + "/rotation/power", "8", "rotation"},
      {down1 + "/rotation/signs_sha256", zeros, "input_rotation_signs"},
      {down0 + "/rotation/signs_sha256", zeros, "input_rotation_signs"},
      {down0 + "/split/channels", "[0, 4]", "split_channels"},
      {down0 + "/split/channels", "[0, 3, 5]", "split_channels"},
      {down0 + "/split/quantized", "false", "split_weight"},
      {down0 + "/split/input_scales", "[]", "input_scales"},
      {qkv + "/scheme", "\"float\"", "wqkv"},
      {"/linears", "{}", "no linear"},
      {table + "/out", "25", "embed_tokens"},
      {table + "/in", "4611686018427387904", "embed_tokens"},
      {table + "/weight_bits", "4", "embed_tokens"},
      {table + "/scheme", "\"w8a8\"", "embed_tokens"},
      {table + "/weight_scale_dtype", "\"BF16\"", "weight_scale_dtype"},
      {table + "/parts/0/linear", "\"head\"", "expected the part 'table', found 'head'"},
      {table + "/tied_to", "\"lm_head.weight\"", "'tied_to': expected none"},
      {"/embeddings", R"({"of.no.model": )" + table_entry.dump() + "}", "embed_tokens.weight"},
      {"/linears/lm_head/tied_to", "\"language.model.embed_tokens.weight\"", "lm_head.weight"},
      {"/linears/lm_head/tied_to", "\"language.model.norm.weight\"", "'tied_to'"},
      {keys + "/3", "1e300", "'keys': expected positive float32 numbers"},
      {keys + "/3", "1e-300", "kv_cache"},
      {keys, "[0.5, 0.5, 0.5]", "'keys': expected 2 scales, one a head, or 8, one a channel, found 3"},
      {"/kv_cache/decoder.0/values", "[0.5]", "'values': expected 2 scales"},
      {"/kv_cache/decoder.0/kv_heads", "4", "kv_cache"},
      {"/kv_cache/decoder.0",
       R"({"kv_heads": 4, "head_dim": 2, "keys": [1, 1, 1, 1], "values": [1, 1, 1, 1]})",
       "expected 2 key-value heads of 4, as config.json says, found 4 of 2"},
      {"/kv_cache", R"({"decoder.7": {"kv_heads": 1, "head_dim": 1, "keys": [1], "values": [1]}})",
       "decoder.0"},
  };
  for (const Lie& lie : lies) {
    tell(lie);
    EXPECT_THAT(error(), testing::HasSubstr(lie.names)) << lie.pointer << " " << lie.value;
    EXPECT_FALSE(verify_artifact(out_, made_.model()).problems.empty()) << lie.pointer << " " << lie.value;
  }
}

TEST_F(HostileManifest, OnlyVerifyFindsLiesThatReadingDoesNotNeed) {
  const Lie lies[] = {
      {"/files/..~1..~1etc~1passwd", R"({"sha256": ")" + std::string(64, '0') + R"(", "bytes": 1})",
       "file name"},
      {"/linears/of.no.model", OrderedJson::parse(honest_)["linears"]["visual.proj"].dump(), "of.no.model"},
      {"/embeddings/of.no.model",
       OrderedJson::parse(honest_)["embeddings"]["language.model.embed_tokens"].dump(), "of.no.model"},
      {"/kv_cache/vision.0", OrderedJson::parse(honest_)["kv_cache"]["decoder.0"].dump(), "vision.0"},
      {"/totals/tensors", "1", "tensors"},
      {"/format/name", "\"compressed-tensors\"", "quant_method"},
  };
  for (const Lie& lie : lies) {
    tell(lie);
    const VerifyReport report = verify_artifact(out_, made_.model());
    EXPECT_THAT(report.problems, testing::Contains(testing::HasSubstr(lie.names))) << lie.pointer;
  }
}

TEST_F(HostileManifest, CacheScalesThatAreNoneAreAgainstTheSchema) {
  for (const char* value : {"-0.5", "0", "null", "\"nan\"", "[]"}) {
    OrderedJson manifest = OrderedJson::parse(honest_);
    manifest["kv_cache"]["decoder.1"]["values"][1] = OrderedJson::parse(value);
    test::write_text(out_ / kManifestFile, manifest.dump());
    EXPECT_THAT(error(), testing::AllOf(testing::HasSubstr("kv_cache"), testing::HasSubstr("decoder.1")))
        << value;
    EXPECT_FALSE(verify_artifact(out_, made_.model()).problems.empty()) << value;
  }
}

TEST_F(HostileManifest, BrokenTextIsAnInputError) {
  for (const std::string& text : {std::string(), std::string("[]"), std::string("{"), std::string("null"),
                                  std::string(100000, '['), honest_.substr(0, honest_.size() / 2),
                                  R"({"manifest_version": 1, "manifest_version": 1})" + std::string()}) {
    test::write_text(out_ / kManifestFile, text);
    EXPECT_THAT(error(), testing::HasSubstr(kManifestFile)) << text.substr(0, 40);
    EXPECT_FALSE(verify_artifact(out_, made_.model()).problems.empty());
  }
}

}  // namespace
}  // namespace mquant
