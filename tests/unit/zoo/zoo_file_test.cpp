#include "zoo/zoo_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validator.hpp>

#include "mquant/error.h"
#include "tests/support/files.h"
#include "tests/support/temp_dir.h"

namespace mquant::zoo {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Adapter = valijson::adapters::NlohmannJsonAdapter;

bool schema_accepts(const nlohmann::json& document) {
  const nlohmann::json text = nlohmann::json::parse(zoo_schema());
  valijson::Schema schema;
  valijson::SchemaParser(valijson::SchemaParser::kDraft7).populateSchema(Adapter(text), schema);
  return valijson::Validator(valijson::Validator::kStrongTypes).validate(schema, Adapter(document), nullptr);
}

class ZooFile : public testing::Test {
 protected:
  ZooFile() {
    for (const char* model : {"models/b", "models/a", "other/big"})
      test::write_text(dir_.path() / model / "config.json", "{}");
    test::write_text(dir_ / "models/README.md", "no model");
  }

  std::vector<JobSpec> read(const std::string& text) {
    problems_.clear();
    test::write_text(dir_ / "zoo.json", text);
    return read_zoo(dir_ / "zoo.json", 5, problems_);
  }
  std::vector<std::string> names(const std::string& text) {
    std::vector<std::string> names;
    for (const JobSpec& job : read(text)) names.push_back(job.name);
    EXPECT_THAT(messages(), IsEmpty());
    EXPECT_TRUE(schema_accepts(nlohmann::json::parse(text))) << text;
    return names;
  }
  /// The only problem of a file.
  std::string problem(const std::string& text) {
    try {
      read(text);
    } catch (const Error& error) {
      return error.what();
    }
    EXPECT_EQ(problems_.size(), 1u) << testing::PrintToString(messages());
    return problems_.empty() ? "" : problems_.front().message;
  }
  std::vector<std::string> messages() const {
    std::vector<std::string> messages;
    for (const ZooProblem& problem : problems_) messages.push_back(problem.message);
    return messages;
  }

  test::TempDir dir_;
  std::vector<ZooProblem> problems_;
};

TEST_F(ZooFile, EachModelWithEachRecipeIsAJob) {
  EXPECT_THAT(names(R"({"models": ["models/*", {"path": "other/big", "recipes": ["w8a8"]}],
                        "defaults": {"data": "c.jsonl", "recipes": ["w4a8", "w8a8"]}})"),
              ElementsAre("a.w4a8", "a.w8a8", "b.w4a8", "b.w8a8", "big.w8a8"));
}

TEST_F(ZooFile, LaterSettingsReplaceEarlierOnes) {
  const auto jobs = read(R"({
    "defaults": {"data": "c.jsonl", "recipes": ["mine"], "seed": 1, "threads": 1, "timeout": 1, "formats": ["auto"]},
    "recipes": {"mine": {"recipe": "w4a8", "set": ["round.damping=0.5"], "seed": 2, "threads": 2, "timeout": 2}},
    "models": [{"path": "models/a", "threads": 3, "timeout": 3, "formats": ["mquant", "compressed-tensors"]}, "models/b"],
    "jobs": {"a.*": {"timeout": 4}, "*.mine": {"memory": "2GiB"}}})");
  ASSERT_EQ(jobs.size(), 2u) << testing::PrintToString(messages());
  EXPECT_EQ(jobs[0].values.seed, 2);
  EXPECT_EQ(jobs[0].values.threads, 3);
  EXPECT_EQ(jobs[0].values.timeout, 4);
  EXPECT_EQ(jobs[0].memory, std::int64_t{2} << 30);
  EXPECT_THAT(jobs[0].formats, ElementsAre("mquant", "compressed-tensors"));
  EXPECT_EQ(jobs[0].recipe, "w4a8");
  EXPECT_THAT(jobs[0].overrides, ElementsAre("round.damping=0.5"));
  EXPECT_EQ(jobs[1].values.timeout, 2);
  EXPECT_EQ(jobs[1].values.threads, 2);
}

TEST_F(ZooFile, PathsAreThoseOfItsDirectoryAndTheSeedIsThatOfTheCommandLine) {
  const auto jobs =
      read(R"({"models": ["models/a"], "defaults": {"data": "x/../c.jsonl", "recipes": ["r/own.json"],
      "checks": [{"check": "eval", "data": "e.jsonl"}]}})");
  ASSERT_EQ(jobs.size(), 1u) << testing::PrintToString(messages());
  EXPECT_EQ(jobs[0].values.data, (dir_ / "x/../c.jsonl").string());  // x may be a link
  EXPECT_EQ(jobs[0].recipe, (dir_ / "r/own.json").string());
  EXPECT_EQ(jobs[0].name, "a.own");
  EXPECT_EQ(jobs[0].checks[0].data, dir_ / "e.jsonl");
  EXPECT_EQ(jobs[0].checks[0].name, "e");
  EXPECT_EQ(jobs[0].values.seed, 5);
}

TEST_F(ZooFile, ChecksHaveTheirBounds) {
  const auto jobs =
      read(R"({"models": ["models/a"], "defaults": {"data": "c", "recipes": ["w4a8"], "checks": [
      {"check": "verify"},
      {"check": "eval", "data": "e", "min_exact": 80, "max_perplexity": 1.5, "max_kl": 0.1, "limit": 3},
      {"check": "eval", "name": "two", "data": "e", "max_kl": {"text": 0.25}}]}})");
  ASSERT_EQ(jobs.size(), 1u) << testing::PrintToString(messages());
  const std::vector<Check>& checks = jobs[0].checks;
  ASSERT_EQ(checks.size(), 3u);
  EXPECT_EQ(checks[0].kind, Check::Kind::verify);
  EXPECT_EQ(checks[1].min_exact, 80);
  EXPECT_EQ(checks[1].max_perplexity, 1.5);
  EXPECT_EQ(checks[1].max_kl.at(""), 0.1);
  EXPECT_EQ(checks[1].limit, 3);
  EXPECT_EQ(checks[2].max_kl.at("text"), 0.25);
  EXPECT_TRUE(checks[2].needs_reference());
}

TEST_F(ZooFile, APatternInTheNameOfItsDirectoryIsNone) {
  test::write_text(dir_ / "z[1]*/models/m/config.json", "{}");
  test::write_text(dir_ / "z[1]*/zoo.json",
                   R"({"models": ["models/*"], "defaults": {"data": "c", "recipes": ["w4a8"]}})");
  const auto jobs = read_zoo(dir_ / "z[1]*/zoo.json", 0, problems_);
  ASSERT_EQ(jobs.size(), 1u) << testing::PrintToString(messages());
  EXPECT_EQ(jobs[0].model, dir_ / "z[1]*/models/m");
}

struct Wrong {
  const char *text, *message;
};

/// Each is wrong in one place: the reader and the schema refuse it.
TEST_F(ZooFile, WhatIsWrongIsSaidInOneLine) {
  static constexpr Wrong kWrong[] = {
      {R"({"modles": []})", "no key 'modles' in a zoo file; did you mean 'models'?"},
      {R"({"models": [7]})", "'models'[0]: expected an object {...}, found 7"},
      {R"({"models": [{"path": "models/a", "recepies": ["w4a8"]}]})",
       "'models'[0]: no key 'recepies'; did you mean 'recipes'?"},
      {R"({"models": [{"name": "x"}]})", R"('models'[0]: expected a directory, or {"path": DIRECTORY, ...})"},
      {R"({"models": {"path": "a"}})", "'models': expected a list [...], found an object"},
      {R"({"defaults": {"data": 7}, "models": []})", "'defaults': 'data': expected a text, found 7"},
      {R"({"defaults": {"threads": -1}, "models": []})",
       "'threads': expected an integer of at least 0 and at most 1024, found -1"},
      {R"({"defaults": {"formats": []}, "models": []})", "'formats': expected a list of texts"},
      {R"({"defaults": {"checks": [{"check": "verfy"}]}, "models": []})",
       "'checks'[0]: expected {\"check\": \"verify\"} or {\"check\": \"eval\", \"data\": FILE, ...}, found "
       "the check "
       "'verfy'; did you mean 'verify'?"},
      {R"({"defaults": {"checks": [{"check": "eval"}]}, "models": []})",
       "expected 'data', a file of samples"},
      {R"({"defaults": {"checks": [{"check": "verify", "data": "x"}]}, "models": []})",
       "'checks'[0]: no option 'data' (there are none)"},
      {R"({"defaults": {"checks": [{"check": "eval", "data": "x", "min_exact": 101}]}, "models": []})",
       "'min_exact': expected a number of at least 0 and at most 100, found 101"},
      {R"({"defaults": {"checks": [{"check": "eval", "data": "x", "max_kl": {"visul": 1}}]}, "models": []})",
       "'max_kl': no option 'visul'; did you mean 'visual'?"},
      {R"({"defaults": {"checks": [{"check": "eval", "data": "x", "max_kl": 0}]}, "models": []})",
       "'max_kl': expected a number above 0, found 0"},
      {R"({"recipes": {"r": {"set": ["a=b"]}}, "models": []})", R"(expected "recipe": NAME or FILE)"},
      {R"({"recipes": {"r": {"recipe": "w4a8", "recipes": ["w8a8"]}}, "models": []})", "no key 'recipes'"},
      {R"({"jobs": {"*": {"recipes": ["w4a8"]}}, "models": []})", "no key 'recipes'"},
      {R"({"models": []})", R"(no job: expected "models": ["DIRECTORY", ...])"},
  };
  for (const auto& [text, message] : kWrong) {
    EXPECT_THAT(problem(text), HasSubstr(message)) << text;
    EXPECT_FALSE(schema_accepts(nlohmann::json::parse(text))) << text;
  }
}

/// What a schema cannot know.
TEST_F(ZooFile, WhatDoesNotFitTogetherIsSaidInOneLine) {
  const std::string rest = R"("defaults": {"data": "c", "recipes": ["w4a8"]}})";
  EXPECT_THAT(problem(R"({"models": ["nothing/*"], )" + rest), HasSubstr("no directory matches 'nothing/*'"));
  EXPECT_THAT(problem(R"({"models": [{"path": "models/*", "name": "x"}], )" + rest),
              HasSubstr("one 'name' for the 2 directories"));
  EXPECT_THAT(problem(R"({"models": ["models/a"], "defaults": {"data": "c"}})"),
              HasSubstr("model 'a': no recipe"));
  EXPECT_THAT(problem(R"({"models": ["models/a"], "defaults": {"recipes": ["w4a8"]}})"),
              HasSubstr("job 'a.w4a8': no samples to calibrate with"));
  EXPECT_THAT(problem(R"({"models": ["models/a"], "defaults": {"data": "c", "recipes": ["w4a9"]}})"),
              HasSubstr("model 'a': no recipe 'w4a9'; did you mean 'w4a8'?"));
  EXPECT_THAT(problem(R"({"models": ["models/a", "models/*"], )" + rest),
              HasSubstr("would both be 'a.w4a8'"));
  EXPECT_THAT(problem(R"({"models": ["models/a"], "jobs": {"c.*": {"seed": 1}}, )" + rest),
              HasSubstr("'jobs': no job matches 'c.*'"));
  EXPECT_THAT(
      problem(
          R"({"models": ["models/a"], "defaults": {"data": "c", "recipes": ["w4a8"], "memory": "2 apples"}})"),
      HasSubstr("'memory': expected a size such as 12GiB or 800MB, found '2 apples'"));
  EXPECT_THAT(problem(R"({"models": ["models/a"], "defaults": {"data": "c", "recipes": ["w4a8"],
                  "checks": [{"check": "eval", "data": "e"}, {"check": "eval", "data": "d/e"}]}})"),
              HasSubstr("two checks have the name 'e'"));
  EXPECT_THAT(problem("[]"), HasSubstr("zoo.json"));
}

TEST_F(ZooFile, AllProblemsAreTold) {
  read(R"({"models": ["nothing/*", 7], "recipes": {"r": {}}, "colour": 1})");
  EXPECT_EQ(problems_.size(), 4u) << testing::PrintToString(messages());
}

/// As far as files that are there can tell: its data is not.
TEST_F(ZooFile, TheExampleOfTheDocumentationIsOne) {
  const std::string page = test::read_text(std::filesystem::path(MQUANT_CONFIGS) / "../docs/zoo.md");
  const std::size_t begin = page.find("```json\n") + 8;
  std::string text = page.substr(begin, page.find("```", begin) - begin);
  EXPECT_TRUE(schema_accepts(nlohmann::json::parse(text)));
  test::write_text(dir_ / "models/smolvlm/config.json", "{}");
  const auto jobs = read(text);
  EXPECT_THAT(messages(), IsEmpty());
  ASSERT_EQ(jobs.size(), 7u);
  EXPECT_EQ(jobs.back().name, "qwen-72b.w4a8");
  EXPECT_EQ(jobs.back().memory, std::int64_t{60} << 30);
}

TEST_F(ZooFile, TheSchemaFileIsCurrent) {
  EXPECT_EQ(test::read_text(std::filesystem::path(MQUANT_CONFIGS) / "zoo.schema.json"), zoo_schema())
      << "run scripts/gen_docs.sh";
}

}  // namespace
}  // namespace mquant::zoo
