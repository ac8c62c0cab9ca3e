#include "mquant/recipe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <string>

#include "mquant/error.h"
#include "tests/support/files.h"
#include "tests/support/temp_dir.h"

namespace mquant {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr const char* kSmall = R"({"summary": "two passes",
  "schemes": {"vision": "w8a8", "decoder": "w4a8"},
  "passes": [{"pass": "rotate", "vision": false}, {"pass": "round", "damping": 1}],
  "calibration": {"samples": 8}})";

Recipe small(const std::vector<std::string>& overrides = {}) {
  return parse_recipe(kSmall, "small.json", overrides);
}

/// The message of the error, after a check of its kind.
std::string error_of(ErrorKind kind, const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), static_cast<int>(kind)) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return "";
}

std::string usage_error(const std::string& text) {
  return error_of(ErrorKind::usage, [&] { parse_recipe(text, "r.json"); });
}
std::string override_error(const std::string& set) {
  return error_of(ErrorKind::usage, [&] { small({set}); });
}

TEST(Recipe, KeepsWhatIsGivenAndFillsInTheRest) {
  const Recipe recipe = small();
  EXPECT_EQ(recipe.name, "small");
  EXPECT_EQ(recipe.summary, "two passes");
  ASSERT_EQ(recipe.passes.size(), 2u);
  EXPECT_EQ(recipe.passes[0].name, "rotate");
  EXPECT_FALSE(recipe.passes[0].options.boolean("vision"));
  EXPECT_TRUE(recipe.passes[0].options.boolean("value"));
  EXPECT_EQ(recipe.passes[1].options.string("method"), "gptq");
  EXPECT_EQ(recipe.passes[1].options.number("damping"), 1.0);
  EXPECT_EQ(recipe.passes[1].options.integer("steps"), 80);
  EXPECT_EQ(recipe.calibration.samples, 8);
  EXPECT_TRUE(recipe.calibration.answers);
  EXPECT_TRUE(recipe.calibration.quantized);
}

TEST(Recipe, RoleOfABlockIsItsNameUpToTheDotAndAbsentMeansFloat) {
  const Recipe recipe = small();
  EXPECT_EQ(recipe.scheme_of("decoder.11").name(), "w4a8");
  EXPECT_EQ(recipe.scheme_of("vision.0").name(), "w8a8");
  EXPECT_TRUE(recipe.scheme_of("projector").is_float());
  EXPECT_TRUE(recipe.scheme_of("embed").is_float());
}

TEST(Recipe, CanonicalTextParsesToItselfAndDoesNotDependOnSpelling) {
  const Recipe recipe = small();
  EXPECT_EQ(parse_recipe(recipe.json, "again.json").json, recipe.json);
  const char* const same = R"({"passes": [{"vision": false, "pass": "rotate", "value": true},
    {"pass": "round", "method": "gptq", "damping": 1.0}], "summary": "two passes", "$schema": "recipe.schema.json",
    "calibration": {"answers": true, "samples": 8}, "schemes": {"decoder": "w4a8", "vision": "w8a8", "head": "float"}})";
  EXPECT_EQ(parse_recipe(same, "other.json").json, recipe.json);
  EXPECT_NE(small({"round.steps=81"}).json, recipe.json);
}

TEST(Recipe, UnknownNamesGetTheNearest) {
  EXPECT_THAT(usage_error(R"({"scheme": {}})"),
              AllOf(HasSubstr("r.json"), HasSubstr("did you mean 'schemes'?")));
  EXPECT_THAT(usage_error(R"({"schemes": {"decode": "w4a8"}})"), HasSubstr("did you mean 'decoder'?"));
  EXPECT_THAT(usage_error(R"({"schemes": {"decoder": "w4a9"}})"), HasSubstr("did you mean 'w4a8'?"));
  EXPECT_THAT(usage_error(R"({"passes": [{"pass": "rotat"}]})"), HasSubstr("did you mean 'rotate'?"));
  EXPECT_THAT(usage_error(R"({"passes": [{"pass": "round", "dampin": 1}]})"),
              HasSubstr("did you mean 'damping'?"));
  EXPECT_THAT(usage_error(R"({"passes": [{"pass": "round", "method": "gptc"}]})"),
              HasSubstr("did you mean 'gptq'?"));
  EXPECT_THAT(usage_error(R"({"calibration": {"sample": 8}})"), HasSubstr("did you mean 'samples'?"));
  EXPECT_THAT(usage_error(R"({"passes": [{"pass": "zzzz"}]})"),
              HasSubstr("(known: fold-norms, rotate, round)"));
}

TEST(Recipe, EmbeddingsHaveNoActivationsAndEightBitsOrFloats) {
  EXPECT_EQ(small({"schemes.embed=w8a16"}).scheme_of("embed").name(), "w8a16");
  for (const char* scheme : {"w8a8", "w4a16", "w4a8", "w16a8"}) {
    EXPECT_THAT(usage_error(R"({"schemes": {"embed": ")" + std::string(scheme) + R"("}})"),
                AllOf(HasSubstr("'embed'"), HasSubstr("expected one of w8a16, float")))
        << scheme;
  }
}

TEST(Recipe, WrongTypesSayWhatIsExpectedAndFound) {
  EXPECT_THAT(usage_error(R"({"passes": [{"pass": "rotate", "vision": 1}]})"),
              HasSubstr("'vision': expected true or false, found 1"));
  EXPECT_THAT(usage_error(R"({"passes": [{"pass": "round", "steps": 1.5}]})"),
              HasSubstr("expected an integer"));
  EXPECT_THAT(usage_error(R"({"passes": [{"pass": "round", "steps": 18446744073709551615}]})"),
              HasSubstr("expected an integer"));
  EXPECT_THAT(usage_error(R"({"passes": [{"pass": "round", "damping": "1"}]})"),
              HasSubstr("expected a number"));
  EXPECT_THAT(usage_error(R"({"passes": [{"pass": "round", "method": null}]})"),
              HasSubstr("expected a text"));
  EXPECT_THAT(usage_error(R"({"passes": {"pass": "round"}})"), HasSubstr("expected a list"));
  EXPECT_THAT(usage_error(R"({"passes": ["round"]})"), HasSubstr("found \"round\""));
  EXPECT_THAT(usage_error(R"({"schemes": []})"), HasSubstr("expected an object"));
  EXPECT_THAT(usage_error("[]"), HasSubstr("expected an object"));
  EXPECT_THAT(usage_error(R"({"calibration": {"samples": -1}})"), HasSubstr("found -1"));
  EXPECT_THAT(usage_error(R"({"passes": [{"pass": "rotate"}, {"pass": "rotate"}]})"), HasSubstr("twice"));
}

TEST(Recipe, NumbersOutOfTheirRangeAreRefused) {
  EXPECT_EQ(small({"round.damping=1"}).passes[1].options.number("damping"), 1);
  EXPECT_THAT(override_error("round.damping=0"),
              HasSubstr("--set 'round.damping=0': expected a number above 0 and at most 1, found 0"));
  EXPECT_THAT(usage_error(R"({"passes": [{"pass": "round", "damping": 7}]})"),
              HasSubstr("'damping': expected a number above 0 and at most 1, found 7"));
  EXPECT_THAT(usage_error(R"({"calibration": {"self_check": -2}})"),
              HasSubstr("expected an integer of at least 0, found -2"));
}

TEST(Recipe, PassesHaveWhatTheyNeedBeforeThemAndStandBeforeWhatTheyWouldBreak) {
  EXPECT_THAT(usage_error(R"({"passes": [{"pass": "rotate", "folded": true}]})"),
              HasSubstr("'rotate' needs folded norms before it: add 'fold-norms' there; an order that works: "
                        "fold-norms, rotate"));
  EXPECT_THAT(usage_error(R"({"schemes": {"decoder": "w4a8"},
    "passes": [{"pass": "round"}, {"pass": "fold-norms"}]})"),
              HasSubstr("'fold-norms' stands after 'round', whose codes would not hold: put 'fold-norms' "
                        "before 'round'; an order that works: fold-norms, round"));
}

TEST(Recipe, TokenClassesAreAllOrAListWithText) {
  using Classes = std::set<TokenClass>;
  EXPECT_EQ(small().calibration.classes, (Classes{TokenClass::text, TokenClass::visual, TokenClass::sink}));
  const Recipe recipe = small({"calibration.classes=sink,text"});
  EXPECT_EQ(recipe.calibration.classes, (Classes{TokenClass::text, TokenClass::sink}));
  EXPECT_EQ(parse_recipe(recipe.json, "again.json").calibration.classes, recipe.calibration.classes);
  EXPECT_EQ(recipe.json, small({"calibration.classes=text,sink"}).json);
  EXPECT_EQ(small({"calibration.classes=visual,text,sink"}).json, small().json);
  EXPECT_THAT(override_error("calibration.classes=text,visul"), HasSubstr("did you mean 'visual'?"));
  EXPECT_THAT(
      error_of(ErrorKind::usage, [] { small({"calibration.classes=text", "calibration.sink=true"}); }),
      HasSubstr("'classes' leaves out sink"));
  EXPECT_THAT(override_error("calibration.classes="), HasSubstr("expected all, or some of"));
  EXPECT_THAT(override_error("calibration.classes=visual"), HasSubstr("expected text among the classes"));
}

TEST(Recipe, BrokenJsonIsAnInputErrorWithItsPlace) {
  const auto broken = [](const std::string& text) {
    return error_of(ErrorKind::input, [&] { parse_recipe(text, "r.json"); });
  };
  EXPECT_THAT(broken("{\n \"summary\": }"), AllOf(HasSubstr("r.json"), HasSubstr("line 2")));
  EXPECT_THAT(broken(""), HasSubstr("r.json"));
  EXPECT_THAT(broken(R"({"summary": "a", "summary": "b"})"), HasSubstr("'summary' is there twice"));
  EXPECT_THAT(broken(R"({"passes": [{"pass": "round", "damping": 1e999}]})"), HasSubstr("r.json"));
  EXPECT_THAT(broken("{\"summary\": \"\xff\"}"), HasSubstr("r.json"));
  EXPECT_THAT(broken("{\"passes\": " + std::string(100000, '[')), HasSubstr("levels deep"));
}

TEST(Recipe, OverridesTakeTheTypeOfTheOption) {
  const Recipe recipe = small({"round.damping=0.05", "round.steps=7", "round.method=rtn", "round.note=a=b",
                               "rotate.vision=true", "schemes.vision=w4a8", "calibration.samples=64",
                               "calibration.propagate=float"});
  EXPECT_EQ(recipe.passes[1].options.number("damping"), 0.05);
  EXPECT_EQ(recipe.passes[1].options.integer("steps"), 7);
  EXPECT_EQ(recipe.passes[1].options.string("method"), "rtn");
  EXPECT_EQ(recipe.passes[1].options.string("note"), "a=b");
  EXPECT_TRUE(recipe.passes[0].options.boolean("vision"));
  EXPECT_EQ(recipe.scheme_of("vision.3").name(), "w4a8");
  EXPECT_EQ(recipe.calibration.samples, 64);
  EXPECT_FALSE(recipe.calibration.quantized);
}

TEST(Recipe, DropTakesAPassOut) {
  const Recipe recipe = small({"drop=rotate"});
  ASSERT_EQ(recipe.passes.size(), 1u);
  EXPECT_EQ(recipe.passes[0].name, "round");
  EXPECT_THAT(override_error("drop=rotat"), HasSubstr("did you mean 'rotate'?"));
  EXPECT_THAT(error_of(ErrorKind::usage, [] { small({"drop=rotate", "rotate.vision=true"}); }),
              HasSubstr("has no 'rotate'"));
}

TEST(Recipe, WrongOverridesQuoteThemselves) {
  EXPECT_THAT(override_error("round"), AllOf(HasSubstr("--set 'round'"), HasSubstr("key=value")));
  EXPECT_THAT(override_error("=3"), HasSubstr("key=value"));
  EXPECT_THAT(override_error("round.dampin=0.1"), HasSubstr("did you mean 'damping'?"));
  EXPECT_THAT(override_error("rond.damping=0.1"), HasSubstr("did you mean 'round'?"));
  EXPECT_THAT(override_error("round=0.1"), HasSubstr("no option ''"));
  EXPECT_THAT(override_error("round.damping=nan"), HasSubstr("expected a number, found 'nan'"));
  EXPECT_THAT(override_error("round.damping=0.1x"), HasSubstr("expected a number"));
  EXPECT_THAT(override_error("round.steps=99999999999999999999"), HasSubstr("expected an integer"));
  EXPECT_THAT(override_error("rotate.vision=yes"), HasSubstr("expected true or false, found 'yes'"));
  EXPECT_THAT(override_error("schemes.vision=w4a9"), HasSubstr("did you mean 'w4a8'?"));
  EXPECT_THAT(override_error("calibration.samples=-1"), HasSubstr("found -1"));
}

TEST(Recipe, IsFoundByPathThenByNameInTheFolderOfTheUser) {
  const test::TempDir folder;
  test::write_text(folder / "mine.json", kSmall);
  EXPECT_EQ(load_recipe(folder / "mine.json").json, small().json);

  setenv("MQUANT_CONFIG_DIR", folder.path().c_str(), 1);
  EXPECT_EQ(load_recipe("mine").name, "mine");
  EXPECT_THAT(error_of(ErrorKind::usage, [] { load_recipe("mint"); }), HasSubstr("did you mean 'mine'?"));
  setenv("MQUANT_CONFIG_DIR", (folder / "absent").c_str(), 1);
  EXPECT_THAT(error_of(ErrorKind::usage, [] { load_recipe("mine"); }), HasSubstr("is not a directory"));
  unsetenv("MQUANT_CONFIG_DIR");
}

TEST(Recipe, AFileThatIsMissingOrNoFileIsAnInputError) {
  const test::TempDir folder;
  EXPECT_THAT(error_of(ErrorKind::input, [&] { load_recipe(folder / "absent.json"); }),
              HasSubstr("absent.json"));
  EXPECT_THAT(error_of(ErrorKind::input, [&] { load_recipe(folder.path().string() + "/"); }),
              HasSubstr("not a regular file"));
}

}  // namespace
}  // namespace mquant
