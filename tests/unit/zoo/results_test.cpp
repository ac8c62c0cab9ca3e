#include "zoo/results.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <pugixml.hpp>

#include "tests/support/files.h"
#include "tests/support/temp_dir.h"

namespace mquant::zoo {
namespace {

using testing::HasSubstr;
using testing::Not;

ZooStage stage_of(const std::string& name, StageState state, const std::string& error = "") {
  ZooStage stage;
  stage.name = name;
  stage.state = state;
  stage.error = error;
  stage.seconds = 1.5;
  return stage;
}

class Results : public testing::Test {
 protected:
  Results() {
    report_.output = dir_.path();
    ZooJob good{.name = "a.w4a8", .model = "a", .recipe = "w4a8"};
    good.stages = {stage_of("check", StageState::passed), stage_of("calibrate", StageState::kept),
                   stage_of("eval-e", StageState::passed)};
    good.stages[2].figures = {{"exact", 85.25}, {"kl.text", 0.0123}};
    ZooJob bad{.name = "b.w4a8", .model = "b", .recipe = "w4a8"};
    bad.stages = {stage_of("check", StageState::passed),
                  stage_of("calibrate", StageState::error, "no <image> & | left\x01"),
                  stage_of("export", StageState::blocked)};
    ZooJob missed{.name = "b.w8a8", .model = "b", .recipe = "w8a8"};
    missed.stages = {stage_of("check", StageState::passed),
                     stage_of("eval-e", StageState::failed, "too low")};
    bad.stages[1].last_lines = {"first", "\\x1b[31mred\\x1b[0m ]]> ``` \\xff", "last"};
    report_.jobs = {good, bad, missed};
  }

  pugi::xml_document junit() {
    pugi::xml_document document;
    const auto parsed = document.load_string(junit_text(report_).c_str());
    EXPECT_TRUE(parsed) << parsed.description();
    return document;
  }

  test::TempDir dir_;
  ZooReport report_;
};

TEST_F(Results, JUnitHasASuiteAModelAndACaseAStage) {
  const pugi::xml_document document = junit();
  const pugi::xml_node suites = document.child("testsuites");
  EXPECT_STREQ(suites.attribute("tests").value(), "8");
  EXPECT_STREQ(suites.attribute("failures").value(), "1");
  EXPECT_STREQ(suites.attribute("errors").value(), "1");
  EXPECT_STREQ(suites.attribute("time").value(), "12.000");
  const pugi::xml_node b = suites.find_child_by_attribute("testsuite", "name", "b");
  EXPECT_STREQ(b.attribute("tests").value(), "5");
  EXPECT_STREQ(b.attribute("skipped").value(), "1");
  EXPECT_STREQ(b.first_child().attribute("classname").value(), "b.w4a8");
  EXPECT_STREQ(b.first_child().attribute("name").value(), "check");
}

TEST_F(Results, JUnitTellsWhatIsWrongInTextThatXmlMayHold) {
  const pugi::xml_document document = junit();
  const pugi::xml_node error = document.select_node("//error").node(),
                       failure = document.select_node("//failure").node();
  EXPECT_STREQ(error.attribute("message").value(), "no <image> & | left\\x01");
  EXPECT_THAT(error.text().get(), HasSubstr("\\x1b[31mred"));
  EXPECT_THAT(error.text().get(), HasSubstr("last"));
  EXPECT_STREQ(failure.attribute("message").value(), "too low");
  for (const char c : junit_text(report_)) EXPECT_TRUE(c == '\n' || static_cast<unsigned char>(c) >= 0x20);
}

TEST_F(Results, MarkdownShowsScoresAndEscapesWhatItWouldRead) {
  const std::string text = summary_markdown(report_);
  EXPECT_THAT(text, HasSubstr("| a.w4a8 | eval-e | 85.2 |  | 0.0123 |"));
  EXPECT_THAT(text, HasSubstr("no &lt;image> & \\| left\\x01"));
  EXPECT_THAT(text, HasSubstr("````text\n"));
}

TEST_F(Results, AColumnOfTroubleIsThereOnlyWithTrouble) {
  EXPECT_THAT(zoo_screen(report_), HasSubstr("what is wrong"));
  report_.jobs.resize(1);
  EXPECT_THAT(zoo_screen(report_), Not(HasSubstr("what is wrong")));
  EXPECT_THAT(zoo_screen(report_), HasSubstr("1 job: 1 passed"));
}

TEST_F(Results, AJobIsAsItsGravestStage) {
  EXPECT_EQ(report_.jobs[0].state(), StageState::passed);
  EXPECT_EQ(report_.jobs[1].state(), StageState::error);
  EXPECT_EQ(report_.jobs[2].state(), StageState::failed);
}

}  // namespace
}  // namespace mquant::zoo
