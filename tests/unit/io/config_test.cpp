#include "mquant/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "support/work_inputs.h"
#include "tests/support/files.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/io/tensors.h"

namespace mquant {
namespace {

using test::thrown;
using testing::ElementsAre;
using testing::IsEmpty;

Config example() {
  return Config::parse(R"({
    "model_type": "qwen2_vl",
    "hidden_size": 64,
    "big": 9223372036854775808,
    "rope_theta": 1e6,
    "tie": false,
    "nothing": null,
    "vision_config": {"depth": 32, "name": "32", "ratio": 4.0},
    "rope_scaling": {"mrope_section": [16, 24, 24], "factors": [1, 2.5], "mixed": [1, "2"]},
    "text_config": {"intermediate_size": 148}
  })",
                       "config.json");
}

TEST(Config, LooksUpDottedPaths) {
  const Config config = example();
  EXPECT_EQ(config.integer("hidden_size"), 64);
  EXPECT_EQ(config.positive("vision_config.depth"), 32);
  EXPECT_EQ(config.integer("rope_scaling.mrope_section.1"), 24);
  EXPECT_EQ(config.number("rope_theta"), 1e6);
  EXPECT_EQ(config.number("hidden_size"), 64.0);
  EXPECT_FALSE(config.boolean("tie"));
  EXPECT_EQ(config.string("vision_config.name"), "32");
  EXPECT_THAT(config.integers("rope_scaling.mrope_section"), ElementsAre(16, 24, 24));
  EXPECT_THAT(config.integers("hidden_size"), ElementsAre(64));
  EXPECT_THAT(config.numbers("rope_scaling.factors"), ElementsAre(1.0, 2.5));
  EXPECT_THAT(config.numbers("rope_theta"), ElementsAre(1e6));
  EXPECT_EQ(config.model_type(), "qwen2_vl");
  EXPECT_EQ(config.origin(), "config.json");
}

TEST(Config, HasMeansPresentAndNotNull) {
  const Config config = example();
  EXPECT_TRUE(config.has("vision_config.depth"));
  EXPECT_TRUE(config.has("vision_config"));
  EXPECT_TRUE(config.has("tie"));
  EXPECT_FALSE(config.has("nothing"));
  EXPECT_FALSE(config.has("absent"));
  EXPECT_FALSE(config.has("absent.deeper"));
  EXPECT_FALSE(config.has("hidden_size.deeper"));
  EXPECT_FALSE(config.has("rope_scaling.mrope_section.3"));
  EXPECT_FALSE(config.has("rope_scaling.mrope_section.-1"));
  EXPECT_FALSE(config.has("rope_scaling.mrope_section.1x"));
}

TEST(Config, DefaultsStandInForAbsentAndNullOnly) {
  const Config config = example();
  EXPECT_EQ(config.integer_or("absent", -7), -7);
  EXPECT_EQ(config.positive_or("nothing", 7), 7);
  EXPECT_EQ(config.positive_or("hidden_size", 7), 64);
  EXPECT_EQ(config.number_or("vision_config.absent", 0.5), 0.5);
  EXPECT_TRUE(config.boolean_or("absent", true));
  EXPECT_FALSE(config.boolean_or("tie", true));
  EXPECT_EQ(config.string_or("absent", "silu"), "silu");
  EXPECT_EQ(config.string_or("model_type", "silu"), "qwen2_vl");
  EXPECT_EQ(thrown([&] { config.integer_or("vision_config.name", 1); }),
            "input: config.json: 'vision_config.name': expected an integer, found \"32\"");
  EXPECT_EQ(thrown([&] { config.boolean_or("hidden_size", true); }),
            "input: config.json: 'hidden_size': expected true or false, found 64");
}

TEST(Config, AnAbsentKeyIsNamedWithTheWayOut) {
  const Config config = example();
  EXPECT_EQ(thrown([&] { config.integer("vision_config.dept"); }),
            "input: config.json: no key 'vision_config.dept'; did you mean 'vision_config.depth'?");
  EXPECT_EQ(thrown([&] { config.integer("visionconfig.depth"); }),
            "input: config.json: no key 'visionconfig.depth'; did you mean 'vision_config'?");
  EXPECT_EQ(thrown([&] { config.integer("intermediate_size"); }),
            "input: config.json: no key 'intermediate_size'; there is 'text_config.intermediate_size'");
  EXPECT_EQ(thrown([&] { config.integer("zzz"); }), "input: config.json: no key 'zzz'");
  EXPECT_EQ(thrown([&] { config.integer("vision_config.depth.x"); }),
            "input: config.json: no key 'vision_config.depth.x': 'vision_config.depth' is 32");
  EXPECT_EQ(thrown([&] { config.integer("rope_scaling.mrope_section.3"); }),
            "input: config.json: no key 'rope_scaling.mrope_section.3': 'rope_scaling.mrope_section' is "
            "[16,24,24]");
  EXPECT_EQ(thrown([] { Config::parse("7", "c").integer("a"); }), "input: c: no key 'a': the file is 7");
}

TEST(Config, AWrongTypeSaysWhatWasExpectedAndFound) {
  const Config config = example();
  const auto error = [&](auto lookup, std::string_view path) {
    return thrown([&] { std::invoke(lookup, config, path); });
  };
  const auto positive = [](const Config& of, std::string_view path) { return of.positive(path); };
  EXPECT_EQ(error(positive, "vision_config.name"),
            "input: config.json: 'vision_config.name': expected a positive integer, found \"32\"");
  EXPECT_EQ(error(&Config::integer, "vision_config.ratio"),
            "input: config.json: 'vision_config.ratio': expected an integer, found 4.0");
  EXPECT_EQ(error(&Config::integer, "big"),
            "input: config.json: 'big': expected an integer, found 9223372036854775808");
  EXPECT_EQ(error(&Config::integer, "nothing"),
            "input: config.json: 'nothing': expected an integer, found null");
  EXPECT_EQ(error(&Config::number, "tie"), "input: config.json: 'tie': expected a number, found false");
  EXPECT_EQ(error(&Config::boolean, "hidden_size"),
            "input: config.json: 'hidden_size': expected true or false, found 64");
  EXPECT_EQ(error(&Config::string, "vision_config"),
            "input: config.json: 'vision_config': expected a string, found an object");
  EXPECT_EQ(
      error(&Config::integers, "rope_scaling.factors"),
      "input: config.json: 'rope_scaling.factors': expected an integer or a list of integers, found [1,2.5]");
  EXPECT_EQ(
      error(&Config::numbers, "rope_scaling.mixed"),
      "input: config.json: 'rope_scaling.mixed': expected a number or a list of numbers, found [1,\"2\"]");
  EXPECT_EQ(error(&Config::keys, "hidden_size"),
            "input: config.json: 'hidden_size': expected an object, found 64");
}

TEST(Config, PositiveIsWithinThirtyOneBits) {
  const Config config = Config::parse(R"({"zero":0,"minus":-1,"most":2147483647,"more":2147483648})", "c");
  EXPECT_EQ(config.positive("most"), 2147483647);
  EXPECT_EQ(thrown([&] { config.positive("zero"); }),
            "input: c: 'zero': expected a positive integer, found 0");
  EXPECT_EQ(thrown([&] { config.positive("minus"); }),
            "input: c: 'minus': expected a positive integer, found -1");
  EXPECT_EQ(thrown([&] { config.positive("more"); }),
            "input: c: 'more': expected a positive integer up to 2147483647, found 2147483648");
}

TEST(Config, PassesPartsThrough) {
  const Config config = example();
  EXPECT_EQ(config.raw("vision_config"), R"({"depth":32,"name":"32","ratio":4.0})");
  EXPECT_EQ(config.raw("nothing"), "null");
  EXPECT_EQ(config.raw("absent"), "");
  EXPECT_EQ(Config::parse("[1]", "c").raw(""), "[1]");
  EXPECT_THAT(config.keys("vision_config"), ElementsAre("depth", "name", "ratio"));
  EXPECT_THAT(config.keys("absent"), IsEmpty());
  EXPECT_EQ(config.keys("").size(), 9U);
}

TEST(Config, ASyntaxErrorHasFileLineAndColumn) {
  EXPECT_EQ(
      thrown([] { Config::parse("{\"a\": 1,\n \"b\" 2}", "config.json"); }),
      "input: config.json: parse error at line 2, column 6: syntax error while parsing object separator - "
      "unexpected number literal; expected ':'");
  EXPECT_EQ(thrown([] { Config::parse("", "c"); }).find("input: c: parse error at line 1, column 1: "), 0U);
  EXPECT_EQ(thrown([] { Config::parse("{\"a\": 1e999}", "c"); }),
            "input: c: number overflow parsing '1e999'");
  EXPECT_EQ(thrown([] { Config::parse("{\"a\": 1, \"a\": 2}", "c"); }),
            "input: c: key 'a' is there twice in one object; remove one");
}

TEST(Config, HostileNestingAndTokensCostNoStackAndNoScreen) {
  for (const std::string_view open : {"[", "{\"a\":"}) {
    std::string text;
    for (int i = 0; i < 1'000'000; ++i) text += open;
    EXPECT_EQ(thrown([&] { Config::parse(text, "c"); }), "input: c: nested more than 64 levels deep");
  }
  std::string deepest = "1";
  for (int i = 0; i < 64; ++i) deepest = cat("[", deepest, "]");
  EXPECT_EQ(Config::parse(deepest, "c").raw(""), deepest);
  const std::string message = thrown([] { Config::parse("{\"" + std::string(1'000'000, 'x'), "c"); });
  EXPECT_LT(message.size(), 400U);
  EXPECT_EQ(thrown([] { Config::parse("{\"a\":\"\x1b[2J\"}", "c"); }).find('\x1b'), std::string::npos);
}

TEST(Config, OpensAFileAndNamesIt) {
  const test::TempDir directory;
  test::write_text(directory / "config.json", R"({"model_type": "x"})");
  const Config config = Config::open(directory / "config.json");
  EXPECT_EQ(config.model_type(), "x");
  EXPECT_EQ(config.origin(), (directory / "config.json").string());
  EXPECT_EQ(thrown([&] { Config::open(directory / "none.json"); }),
            cat("input: cannot open '", (directory / "none.json").string(), "': No such file or directory"));
  test::write_text(directory / "config.json", "{");
  EXPECT_EQ(
      thrown([&] {
        Config::open(directory / "config.json");
      }).find(cat("input: ", (directory / "config.json").string(), ": parse error at line 1, column 2: ")),
      0U);
}

TEST(Config, AGitLfsPointerIsRecognized) {
  const test::TempDir directory;
  test::write_text(directory / "config.json", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n");
  EXPECT_EQ(thrown([&] { Config::open(directory / "config.json"); }),
            cat("input: ", (directory / "config.json").string(),
                ": this is a Git LFS pointer, not the file itself; run 'git lfs pull' there"));
}

TEST(Config, AFileBeyondTheLimitIsNotRead) {
  const test::TempDir directory;
  test::write_text(directory / "config.json", "");
  std::filesystem::resize_file(directory / "config.json", (std::uintmax_t{64} << 20) + 1);
  EXPECT_EQ(thrown([&] { Config::open(directory / "config.json"); }),
            cat("input: ", (directory / "config.json").string(),
                ": expected at most 64.0 MiB of JSON, found 64.0 MiB"));
}

TEST(Config, TellsWhatIsLookedUp) {
  const Config config =
      Config::parse(R"({"a": 1, "b": [2, 3], "c": {"d": "x", "quantization_config": {"bits": 4}},
    "quantization_config": {"bits": 4}, "unused": 5})",
                    "config.json");
  config.has("unused");
  const WorkInputs inputs;
  config.integer("a");
  config.integers("b");
  config.has("c");
  config.string_or("c.d", "");
  config.integer_or("absent", 7);
  config.has("quantization_config");
  config.integer("c.quantization_config.bits");
  EXPECT_EQ(inputs.values("config.json"),
            (std::map<std::string, std::string>{
                {"a", "1"}, {"absent", ""}, {"b", "[2,3]"}, {"c", "{}"}, {"c.d", "\"x\""}}));
  config.keys("c");
  EXPECT_EQ(inputs.values("config.json").at("c.*"), "\"d\" ");
  EXPECT_TRUE(inputs.values("other.json").empty());
}

TEST(Config, CopiesShareWhatTheyRead) {
  Config copy = example();
  {
    const Config original = example();
    copy = original;
  }
  EXPECT_EQ(copy.integer("hidden_size"), 64);
}

}  // namespace
}  // namespace mquant
