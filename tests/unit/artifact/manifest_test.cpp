#include "artifact/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "mquant/error.h"
#include "tests/support/files.h"
#include "tests/unit/artifact/made_up_model.h"

namespace mquant {
namespace {
using test::Contents;
using test::MadeUp;

const std::string& manifest_text() {
  static const std::string text = [] {
    const MadeUp made(Contents::all);
    write_artifact(made.input(), "mquant", made.directory() / "out", false);
    return test::read_text(made.directory() / "out" / kManifestFile);
  }();
  return text;
}

TEST(Manifest, TellsWhereTheArtifactComesFrom) {
  const Json manifest = Json::parse(manifest_text());
  EXPECT_EQ(manifest["tool"]["version"], "0.1.0");
  EXPECT_EQ(manifest["tool"]["libraries"]["libtorch"], "2.13.0");
  EXPECT_EQ(manifest["source"]["model"], "source");  // no path of the machine
  EXPECT_EQ(manifest["calibration"]["tokens"]["visual"], 60);
  EXPECT_EQ(manifest["calibration"]["recipe"]["passes"][0]["damping"], 0.01);
  EXPECT_EQ(manifest["calibration"]["seed"], 42);
  EXPECT_EQ(manifest["token_rule"]["order"], "visual, then text");
  EXPECT_EQ(manifest["classes"], Json::parse(R"(["text", "visual", "sink"])"));
}

TEST(Manifest, TellsEveryLinear) {
  const Json linears = Json::parse(manifest_text())["linears"];
  EXPECT_EQ(linears.size(), 22);
  const Json& fused = linears["language.model.layers.0.attention.wqkv"];
  EXPECT_EQ(fused["scheme"], "w4a8");
  ASSERT_EQ(fused["parts"].size(), 3);
  EXPECT_EQ(fused["parts"][1]["linear"], "k");
  EXPECT_EQ(fused["parts"][1]["rows"], Json::parse("[[8, 4], [24, 4]]"));
  EXPECT_EQ(fused["parts"][0]["figures"]["exact"], "inf");
  EXPECT_EQ(linears["visual.patch_embed"]["stored"], Json::parse("[8, 3, 2, 2]"));
  EXPECT_EQ(linears["visual.proj"]["stored"], "[in, out]");
  EXPECT_EQ(linears["visual.proj"]["scheme"], "float");
  const Json& down = linears["language.model.layers.1.mlp.down_proj"];
  EXPECT_EQ(down["rotation"]["block"], 4);
  EXPECT_EQ(down["split"]["channels"], Json::parse("[0, 3]"));
}

TEST(Manifest, NamesNormsThatBecameRms) {
  const Json norms = Json::parse(manifest_text())["norms"];
  EXPECT_EQ(norms.size(), 5);  // two layers of two, the projector's
  EXPECT_EQ(norms["visual.blocks.0.norm1"]["kind"], "rms");
}

TEST(Manifest, CountsBits) {
  const Json totals = Json::parse(manifest_text())["totals"];
  EXPECT_GT(totals["bits_per_weight"], 4.0);
  EXPECT_LT(totals["bits_per_weight"], 32.0);  // tiny linears: scales weigh as much as codes
  EXPECT_GT(totals["quantized_weights"], 1000);
}

TEST(Manifest, SealHoldsOnlyForTheTextThatWasWritten) {
  EXPECT_TRUE(is_sealed(manifest_text()));
  EXPECT_FALSE(is_sealed(manifest_text() + " "));
  EXPECT_FALSE(is_sealed("{}"));
  EXPECT_THROW(is_sealed("[1"), Error);
}

TEST(ManifestSchema, NamesThePlaceOfAViolation) {
  const auto violation = [](auto change) {
    Json manifest = Json::parse(manifest_text());
    change(manifest);
    return schema_violation(manifest);
  };
  using testing::HasSubstr;
  EXPECT_EQ(violation([](Json&) {}), "");
  EXPECT_THAT(violation([](Json& m) { m.erase("totals"); }), HasSubstr("totals"));
  EXPECT_THAT(violation([](Json& m) { m["surprise"] = 1; }), HasSubstr("surprise"));
  EXPECT_THAT(violation([](Json& m) { m["totals"]["tensors"] = "many"; }), HasSubstr("tensors"));
  EXPECT_THAT(violation([](Json& m) { m["linears"]["visual.proj"]["out"] = 0; }), HasSubstr("visual.proj"));
  EXPECT_THAT(violation([](Json& m) { m["files"]["config.json"]["sha256"] = "short"; }), HasSubstr("sha256"));
}

TEST(ManifestSchema, LaterVersionIsUnsupportedNotBroken) {
  const test::TempDir directory;
  Json manifest = Json::parse(manifest_text());
  manifest["manifest_version"] = 2;
  test::write_text(directory / kManifestFile, manifest.dump());
  try {
    read_manifest(directory.path());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::unsupported);
  }
}

}  // namespace
}  // namespace mquant
