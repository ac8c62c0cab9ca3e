// A struct of options is described and read by one function.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mquant/error.h"
#include "mquant/options.h"

namespace mquant {
namespace {

enum class Colour { red, green };

struct Sample {
  bool flag = true;
  std::int64_t count = 4;
  double ratio = 3;
  std::string note = "a \"b\"";
  Colour colour = Colour::green;
  int bits = 16;

  void bind(OptionBinder& options) {
    options.flag("flag", flag, "a flag");
    options.integer("count", count, "a count", {.at_least = 1});
    options.number("ratio", ratio, "a ratio", {.above = 0, .at_most = 10});
    options.text("note", note, "a note");
    options.choice("colour", colour, "a colour", {{"red", Colour::red}, {"green", Colour::green}});
    options.choice("dtype", bits, "a type", {{"bf16", 16}, {"f32", 32}});
  }
};

TEST(OptionBinder, DescribesFieldsWithTheirDefaults) {
  const std::vector<PassOption> table = describe_options<Sample>();
  std::vector<std::string> names, fallbacks;
  for (const PassOption& option : table) {
    names.push_back(option.name);
    fallbacks.push_back(option.fallback);
  }
  EXPECT_THAT(names, testing::ElementsAre("flag", "count", "ratio", "note", "colour", "dtype"));
  EXPECT_THAT(fallbacks, testing::ElementsAre("true", "4", "3.0", R"("a \"b\"")", R"("green")", R"("bf16")"));
  EXPECT_THAT(table[4].choices, testing::ElementsAre("red", "green"));
  EXPECT_EQ(table[2].range.text(), "above 0 and at most 10");
  EXPECT_EQ(table[0].range.text(), "");
}

TEST(OptionBinder, ReadsWhatItDescribes) {
  const Config values = Config::parse(
      R"({"flag": false, "count": 7, "ratio": 0.5, "note": "c", "colour": "red", "dtype": "f32"})", "test");
  const Sample read = read_options<Sample>(values);
  EXPECT_FALSE(read.flag);
  EXPECT_EQ(read.count, 7);
  EXPECT_EQ(read.ratio, 0.5);
  EXPECT_EQ(read.note, "c");
  EXPECT_EQ(read.colour, Colour::red);
  EXPECT_EQ(read.bits, 32);
}

TEST(OptionBinder, TakesNoDefaultWhereAValueIsMissing) {
  EXPECT_THROW(read_options<Sample>(Config::parse(R"({"flag": false})", "test")), Error);
}

TEST(Range, HoldsItsEndsAsItSays) {
  const Range open{.above = 0, .below = 1}, closed{.at_least = 0, .at_most = 1};
  for (const double end : {0.0, 1.0}) {
    EXPECT_FALSE(open.contains(end));
    EXPECT_TRUE(closed.contains(end));
  }
  EXPECT_TRUE(open.contains(0.5));
  EXPECT_FALSE(closed.contains(-0.1));
  EXPECT_FALSE(closed.contains(1.1));
  EXPECT_TRUE(Range().contains(-1e300));
  const Range factor{.at_least = 1, .or_zero = true};
  EXPECT_TRUE(factor.contains(0));
  EXPECT_FALSE(factor.contains(0.5));
  EXPECT_FALSE(factor.contains(-1));
  EXPECT_TRUE(factor.contains(1));
  EXPECT_EQ(factor.text(), "0 or at least 1");
}

}  // namespace
}  // namespace mquant
