#include "arguments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mquant::cli {
namespace {

using testing::ElementsAre;

/// One command with options of each kind.
struct Example {
  CLI::App app{"example"};
  std::string model, prompt, json;
  std::int64_t limit = 0;
  std::vector<std::string> set;

  Example() {
    CLI::App* run = app.add_subcommand("run");
    run->add_option("MODEL", model)->required();
    run->add_option("--log-prompt", prompt);
    run->add_option("--set", set)->allow_extra_args(false);
    run->add_option("--limit", limit)->check(at_least(1));
    run->add_flag("--json{-}", json);
  }

  void parse(Arguments arguments) {
    Arguments words = normalized(app, std::move(arguments));
    std::reverse(words.begin(), words.end());
    app.parse(std::move(words));
  }

  std::string error_of(Arguments arguments) {
    try {
      parse(std::move(arguments));
    } catch (const CLI::ParseError& error) {
      return explanation(app, error);
    }
    return "";
  }
};

TEST(Arguments, UnderscoresAreDashesInNamesOfOptionsOnly) {
  Example example;
  EXPECT_THAT(normalized(example.app, {"run", "a_b", "--log_prompt", "--not_known", "--log_prompt=x_y"}),
              ElementsAre("run", "a_b", "--log-prompt", "--not_known", "--log-prompt=x_y"));
}

TEST(Arguments, JsonTakesTheNextWordOnlyIfThatIsAJsonFile) {
  Example example;
  example.parse({"run", "--json", "model"});
  EXPECT_EQ(example.json, "-");
  EXPECT_EQ(example.model, "model");
  example.parse({"run", "--json", "out.json", "model"});
  EXPECT_EQ(example.json, "out.json");
  EXPECT_EQ(example.model, "model");
  example.parse({"run", "model", "--json=out.txt"});
  EXPECT_EQ(example.json, "out.txt");
}

TEST(Arguments, ARepeatedOptionLeavesThePositionalAlone) {
  Example example;
  example.parse({"run", "--set", "a=1", "--set", "b=2", "model"});
  EXPECT_THAT(example.set, ElementsAre("a=1", "b=2"));
  EXPECT_EQ(example.model, "model");
}

TEST(Arguments, AnUnknownOptionIsNamedBeforeWhatItSeemsToLackIsMissed) {
  EXPECT_EQ(Example().error_of({"run", "--limt", "3"}), "unknown option '--limt'; did you mean '--limit'?");
  EXPECT_EQ(Example().error_of({"run", "--zzz=3", "model"}), "unknown option '--zzz'");
  EXPECT_EQ(Example().error_of({"rum", "model"}), "unknown command 'rum'; did you mean 'run'?");
  EXPECT_EQ(Example().error_of({"run", "model", "other"}), "unexpected argument 'other'");
  EXPECT_EQ(Example().error_of({"run"}), "MODEL is required");
  EXPECT_EQ(Example().error_of({"run", "model", "--limit"}), "--limit: expected a value");
}

TEST(Arguments, IntegersAreWholeAndLargeEnough) {
  for (const char* const wrong : {"0", "-1", "1.5", "x", "-99999999999999999999"}) {
    EXPECT_EQ(Example().error_of({"run", "model", std::string("--limit=") + wrong}),
              std::string("--limit: expected an integer of at least 1, found '") + wrong + "'");
  }
  EXPECT_EQ(Example().error_of({"run", "model", "--limit", "99999999999999999999"}),
            "--limit: expected an integer of at most 9223372036854775807, found '99999999999999999999'");
}

}  // namespace
}  // namespace mquant::cli
