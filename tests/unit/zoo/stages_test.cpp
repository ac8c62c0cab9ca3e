#include "zoo/stages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "tests/support/files.h"
#include "tests/support/temp_dir.h"

namespace mquant::zoo {
namespace {

using testing::Contains;
using testing::ElementsAre;

JobSpec job_with(std::vector<std::string> formats) {
  Check eval;
  eval.kind = Check::Kind::eval;
  eval.name = "e";
  eval.data = "e.jsonl";
  JobSpec job;
  job.name = "a.w4a8";
  job.model = "models/a";
  job.recipe = "w4a8";
  job.values.data = "c.jsonl";
  job.formats = std::move(formats);
  job.checks = {Check{}, eval};
  return job;
}

Facts facts() {
  return {.model = "m",
          .data = "d",
          .recipe = "r",
          .chat_template = "",
          .eval_data = {{"e", "x"}},
          .artifact_bytes = 10,
          .calibration_bytes = 20,
          .calibrate_memory = 1000,
          .calibrate_seconds = 1.5,
          .eval_memory = {{"e", 77}}};
}

std::vector<std::string> keys(const JobSpec& job, const Facts& known, const std::string& program = "p") {
  std::vector<std::string> keys;
  for (const Stage& stage : stages_of(job)) keys.push_back(key_of(job, stage, known, program));
  return keys;
}

/// Which stages of a job would run again: check, calibrate, export, verify, eval.
std::string changed(const JobSpec& job, const Facts& known, const std::string& program = "p") {
  const std::vector<std::string> before = keys(job_with({"auto"}), facts()), now = keys(job, known, program);
  std::string names;
  for (std::size_t i = 0; i < now.size(); ++i)
    if (before[i] != now[i]) names += std::string(names.empty() ? "" : " ") + stages_of(job)[i].name;
  return names;
}

TEST(Stages, HaveNamesByFormatAndCheck) {
  const JobSpec job = job_with({"auto", "mquant"});
  std::vector<std::string> names;
  for (const Stage& stage : stages_of(job)) names.push_back(stage.name);
  EXPECT_THAT(names, ElementsAre("check", "calibrate", "export", "verify", "eval-e", "export.mquant",
                                 "verify.mquant", "eval-e.mquant"));
}

TEST(Stages, RunAgainWhereWhatDecidesThemHasChanged) {
  const std::string all = "calibrate export verify eval-e";
  JobSpec job = job_with({"auto"});
  EXPECT_EQ(changed(job, facts()), "");
  EXPECT_EQ(changed(job, facts(), "another program"), "check " + all);
  for (const auto member : {&Facts::model, &Facts::data, &Facts::recipe, &Facts::chat_template}) {
    Facts other = facts();
    other.*member = "other";
    EXPECT_EQ(changed(job, other), all);
  }
  job.values.seed = 1;
  EXPECT_EQ(changed(job, facts()), "check " + all);
  Facts other = facts();
  other.eval_data["e"] = "other";
  EXPECT_EQ(changed(job_with({"auto"}), other), "eval-e");
  job = job_with({"auto"});
  job.checks[1].min_exact = 3;
  EXPECT_EQ(changed(job, facts()), "eval-e");
}

/// What is elsewhere may be something else, which a check tells.
TEST(Stages, DoNotRunAgainWhereThingsHaveMovedButForTheCheck) {
  JobSpec job = job_with({"auto"});
  job.model = "elsewhere/a";
  job.values.data = "elsewhere/c.jsonl";
  job.checks[1].data = "elsewhere/e.jsonl";
  job.values.threads = 7;
  job.memory = 5;
  EXPECT_EQ(changed(job, facts()), "check");
}

TEST(Stages, AnotherBoundKeepsTheJournalOfTheAnswers) {
  const JobSpec job = job_with({"auto"});
  JobSpec bounded = job, longer = job;
  bounded.checks[1].min_exact = 50;
  longer.checks[1].max_new_tokens = 100;
  const Layout layout("out");
  const auto journal = [&](const JobSpec& of) {
    return journal_of(of, stages_of(of)[4], facts(), "p", layout);
  };
  EXPECT_EQ(journal(job), journal(bounded));
  EXPECT_NE(journal(job), journal(longer));
}

TEST(Stages, TakeTheMemoryOfTheirEstimatesUnlessItIsStated) {
  JobSpec job = job_with({"auto"});
  const std::vector<Stage> stages = stages_of(job);
  const std::int64_t program = memory_of(job, stages[2], facts());
  EXPECT_EQ(memory_of(job, stages[1], facts()), program);  // no estimate is below that of the program
  Facts large = facts();
  large.calibrate_memory = std::int64_t{1} << 40;
  EXPECT_EQ(memory_of(job, stages[1], large), std::int64_t{5} << 38);
  EXPECT_EQ(memory_of(job, stages[4], facts()), program + 10 + 77);
  job.memory = 5;
  EXPECT_EQ(memory_of(job, stages[1], facts()), 5);
}

TEST(Stages, FactsAreTheSameAfterARecord) {
  const Json json = Json::parse(facts_json(facts()).dump());
  EXPECT_EQ(facts_json(facts_from(Fields(json, "record"))), facts_json(facts()));
}

TEST(Stages, TheProgramsDigestIsThatOfItsBytesWhereverTheyLie) {
  const test::TempDir dir;
  for (const char* name : {"a/program", "b/other"}) test::write_text(dir / name, "code");
  for (const char* name : {"a/library", "b/library"}) test::write_text(dir / name, "more");
  const std::string digest = digest_of_program({dir / "a/program", dir / "a/library"});
  EXPECT_EQ(digest_of_program({dir / "b/library", dir / "b/other"}), digest);
  test::write_text(dir / "b/library", "mores");
  EXPECT_NE(digest_of_program({dir / "b/library", dir / "b/other"}), digest);
  EXPECT_NE(digest_of_program({dir / "a/program"}), digest);
}

TEST(Stages, TheProgramIsWhatRunsWithItsLibraries) {
  const std::vector<std::filesystem::path> files = program_files();
  const auto names = [&](const std::string& part) {
    return std::ranges::count_if(
        files, [&](const auto& file) { return file.string().find(part) != std::string::npos; });
  };
  EXPECT_EQ(names("/proc/self/exe"), 1);
  EXPECT_EQ(names("test_zoo"), 0);  // that is the same file
  EXPECT_EQ(names("libc.so"), 1);
}

}  // namespace
}  // namespace mquant::zoo
