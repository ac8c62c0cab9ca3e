// Whole runs of a zoo, with a script in place of the program: what runs when, what stops what, what is kept.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <thread>
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validator.hpp>

#include "artifact/run_identity.h"
#include "mquant/error.h"
#include "mquant/zoo.h"
#include "support/sha256.h"
#include "support/strings.h"
#include "tests/support/files.h"
#include "tests/support/temp_dir.h"

namespace mquant {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::UnorderedElementsAre;
using Json = nlohmann::json;

/// Notes each command with its subject in `calls`.  A file behaviour/COMMAND-SUBJECT is run first; the subject is the
/// model's name, or the job's.  What it prints on stdout comes in place of the usual.
constexpr const char* kProgram = R"sh(#!/bin/sh
here=$(dirname "$0")
command=$1
subject=$(basename "$2")
case $command in calibrate) subject=$(basename "$2"); for word in "$@"; do case $word in */calibration) subject=$(basename "$(dirname "$word")");; esac; done;;
export) subject=$(basename "$(dirname "$2")");; esac
for word in "$@"; do case $word in --json=*) result=${word#--json=};; --output) next=1;; *) [ "$next" ] && output=$word; next=;; esac; done
echo "$command $subject" >> "$here/calls"
echo "$command $*" >> "$here/words"
[ -f "$here/behaviour/$command-$subject" ] && . "$here/behaviour/$command-$subject"
case $command in
  inspect) printf '{"digests": {"model": "%s", "data": "d", "recipe": "%s"}, ' "$(cat "$2/config.json")" "$(cat "$here/recipe")"
    printf '"artifact_bytes": 10, "calibration_bytes": 20, "peak_bytes": %s, "seconds": 2.5}\n' "${peak:-1000}" ;;
  calibrate) mkdir -p "$output"; cp "${ran:-$2}/run.json" "$output/run.json"; echo '{"seconds": 1}' > "$result" ;;
  export) mkdir -p "$output"; echo manifest > "$output/mquant_manifest.json"; echo '{"artifact_bytes": 10, "source_bytes": 20}' > "$result" ;;
  verify) echo '{"ok": true}' > "$result" ;;
  eval) if [ "$3" = --dry-run ]; then echo '{"digest": "e", "peak_bytes": 500, "weight_bytes": 100}'; else
    echo '{"all": {"samples": 4, "exact": 3}, "perplexity": 1.5, "answer_tokens": 9, "agreement": {"text": {"kl": 0.25}}, "answers": []}' > "$result"; fi ;;
esac
)sh";

constexpr const char* kZoo = R"({"models": ["models/*"], "defaults": {"data": "c.jsonl", "recipes": ["w4a8"],
  "checks": [{"check": "verify"}, {"check": "eval", "data": "e.jsonl", "max_kl": 0.5}]}})";

class Silent final : public ZooView {
 public:
  void changed(const ZooReport& /*report*/, const ZooJob& /*job*/, const ZooStage& /*stage*/) override {}
  void advanced(const ZooReport& /*report*/) override {}
};

class ZooRun : public testing::Test {
 protected:
  ZooRun() {
    test::write_text(dir_ / "mquant", kProgram);
    chmod((dir_ / "mquant").c_str(), 0755);
    test::write_text(dir_ / "recipe", sha256_hex("{}"));
    for (const char* model : {"a", "b", "c"}) set_model(model, model);
    write_zoo(kZoo);
    options_.file = dir_ / "zoo.json";
    options_.output = dir_ / "out";
    options_.program = dir_ / "mquant";
    options_.memory = 1 << 30;
  }

  /// Its digest, which the script prints, and what a calibration of it would hold.
  void set_model(const std::string& name, const std::string& weights) {
    RunIdentity identity;
    identity.source.opened["model.safetensors"] = weights;
    identity.data_digest = "d";
    identity.recipe = "{}";
    test::write_text(dir_.path() / "models" / name / "config.json", digest_of(identity.source));
    test::write_text(dir_.path() / "models" / name / "run.json", identity_json(identity).dump());
  }
  void write_zoo(const std::string& text) { test::write_text(dir_ / "zoo.json", text); }
  void behave(const std::string& call, const std::string& script) {
    test::write_text(dir_.path() / "behaviour" / call, script);
  }
  ZooReport run() {
    forget_calls();
    ZooReport report = run_zoo(options_, view_);
    options_.resume = true;
    return report;
  }
  void forget_calls() {
    fs::remove(dir_ / "calls");
    fs::remove(dir_ / "words");
  }
  std::vector<std::string> calls(const std::string& command = "") {
    std::vector<std::string> calls;
    if (!fs::exists(dir_ / "calls")) return calls;
    for (const std::string& line : split(test::read_text(dir_ / "calls"), '\n'))
      if (!line.empty() && line.starts_with(command)) calls.push_back(line);
    return calls;
  }
  static const ZooStage& stage(const ZooReport& report, const std::string& job, const std::string& name) {
    const auto found = std::ranges::find(report.jobs, job, &ZooJob::name);
    return *std::ranges::find(found->stages, name, &ZooStage::name);
  }
  Json summary() { return Json::parse(test::read_text(dir_ / "out/summary.json")); }

  test::TempDir dir_;
  ZooOptions options_;
  Silent view_;
};

TEST_F(ZooRun, AJobGoesThroughItsStagesInOrder) {
  options_.only = {"a.*"};
  const ZooReport report = run();
  EXPECT_TRUE(report.passed());
  EXPECT_THAT(calls(), ElementsAre("inspect a", "eval a", "calibrate a.w4a8", "export a.w4a8",
                                   "verify a.w4a8", "eval a.w4a8"));
  EXPECT_EQ(stage(report, "a.w4a8", "eval-e").figures.at("exact"), 75);
  EXPECT_EQ(stage(report, "a.w4a8", "eval-e").figures.at("perplexity"), 1.5);
  EXPECT_EQ(stage(report, "a.w4a8", "eval-e").figures.at("kl.text"), 0.25);
  EXPECT_EQ(stage(report, "a.w4a8", "export").figures.at("artifact_bytes"), 10);
}

TEST_F(ZooRun, TheSummarySatisfiesItsSchema) {
  behave("verify-b.w4a8", "exit 6");
  run();
  const Json text = Json::parse(test::read_text(fs::path(MQUANT_CONFIGS) / "zoo-summary.schema.json"));
  valijson::Schema schema;
  valijson::SchemaParser(valijson::SchemaParser::kDraft7)
      .populateSchema(valijson::adapters::NlohmannJsonAdapter(text), schema);
  valijson::Validator validator(valijson::Validator::kStrongTypes);
  const Json document = summary();
  EXPECT_TRUE(validator.validate(schema, valijson::adapters::NlohmannJsonAdapter(document), nullptr));
  EXPECT_FALSE(document["passed"].get<bool>());
}

TEST_F(ZooRun, AFailureACrashOrAKillStopsNothingElse) {
  behave("calibrate-a.w4a8", "echo terminate called >&2; kill -SEGV $$");
  behave("export-b.w4a8", "kill -9 $$");
  behave(
      "verify-c.w4a8",
      R"(printf '%s\n' '{"event": "log", "level": "error", "message": "1 problem\nhint: look"}' >&2; exit 6)");
  const ZooReport report = run();
  EXPECT_FALSE(report.passed());
  EXPECT_EQ(stage(report, "a.w4a8", "calibrate").state, StageState::error);
  EXPECT_EQ(stage(report, "a.w4a8", "calibrate").signal, SIGSEGV);
  EXPECT_EQ(stage(report, "a.w4a8", "calibrate").error, "crashed: Segmentation fault; terminate called");
  EXPECT_EQ(stage(report, "a.w4a8", "eval-e").state, StageState::blocked);
  EXPECT_THAT(stage(report, "b.w4a8", "export").error, HasSubstr("killed (SIGKILL)"));
  EXPECT_EQ(stage(report, "c.w4a8", "verify").state, StageState::failed);
  EXPECT_EQ(stage(report, "c.w4a8", "verify").error, "1 problem");
  EXPECT_EQ(stage(report, "c.w4a8", "eval-e").state, StageState::passed);
}

TEST_F(ZooRun, NothingRunsWhereAJobHasAProblem) {
  behave("inspect-b", R"(echo '{"event": "log", "level": "error", "message": "one"}' >&2
    echo '{"event": "log", "level": "error", "message": "two"}' >&2
    echo '{"event": "log", "level": "error", "message": "2 obstacles"}' >&2; exit 4)");
  behave("eval-c", R"(echo '{"event": "log", "level": "error", "message": "no such file"}' >&2; exit 3)");
  const ZooReport report = run();
  EXPECT_EQ(report.problem_code(), 4);
  std::vector<std::string> messages;
  for (const ZooProblem& problem : report.problems) messages.push_back(problem.job + ": " + problem.message);
  EXPECT_THAT(messages, UnorderedElementsAre("b.w4a8: one", "b.w4a8: two", "c.w4a8: no such file"));
  EXPECT_THAT(calls("calibrate"), IsEmpty());
  EXPECT_FALSE(fs::exists(options_.output));
}

TEST_F(ZooRun, TheOthersRunWithKeepGoing) {
  behave("inspect-b", R"(echo '{"event": "log", "level": "error", "message": "broken"}' >&2; exit 3)");
  options_.keep_going = true;
  const ZooReport report = run();
  EXPECT_THAT(report.problems, IsEmpty());
  EXPECT_FALSE(report.passed());
  EXPECT_EQ(stage(report, "b.w4a8", "check").error, "broken");
  EXPECT_EQ(stage(report, "b.w4a8", "calibrate").state, StageState::blocked);
  EXPECT_THAT(calls("calibrate"), ElementsAre("calibrate a.w4a8", "calibrate c.w4a8"));
}

TEST_F(ZooRun, ACrashOfACheckIsAProblemToo) {
  behave("inspect-b", "kill -SEGV $$");
  EXPECT_EQ(run().problem_code(), 70);
}

TEST_F(ZooRun, WhatIsUnchangedIsKept) {
  run();
  const ZooReport again = run();
  EXPECT_TRUE(again.passed());
  for (const ZooJob& job : again.jobs) EXPECT_EQ(job.state(), StageState::kept) << job.name;
  EXPECT_THAT(calls("calibrate"), IsEmpty());
  EXPECT_THAT(calls("eval a.w4a8"), IsEmpty());
  EXPECT_GT(stage(again, "a.w4a8", "eval-e").figures.count("exact"), 0u);
}

TEST_F(ZooRun, WhatHasChangedRunsAgain) {
  run();
  set_model("b", "others");
  run();
  EXPECT_THAT(calls("calibrate"), ElementsAre("calibrate b.w4a8"));
  EXPECT_THAT(calls("eval b.w4a8"), ElementsAre("eval b.w4a8"));
}

TEST_F(ZooRun, AnotherBoundJudgesAgainAndNothingElseRuns) {
  run();
  std::string zoo = kZoo;
  zoo.replace(zoo.find("0.5"), 3, "0.4");
  write_zoo(zoo);
  run();
  EXPECT_THAT(calls("calibrate"), IsEmpty());
  EXPECT_THAT(calls("export"), IsEmpty());
  EXPECT_THAT(calls("eval a.w4a8"), ElementsAre("eval a.w4a8"));
}

TEST_F(ZooRun, AnotherFormatNeedsTheCalibrationAgain) {
  run();
  std::string zoo = kZoo;
  zoo.replace(zoo.find("\"checks\""), 0, R"("formats": ["auto", "mquant"], )");
  write_zoo(zoo);
  options_.only = {"a.*"};
  const ZooReport report = run();
  EXPECT_TRUE(report.passed());
  EXPECT_THAT(calls("calibrate"), ElementsAre("calibrate a.w4a8"));
  EXPECT_THAT(calls("export"), ElementsAre("export a.w4a8"));
  EXPECT_TRUE(fs::exists(dir_ / "out/artifacts/a.w4a8.mquant/mquant_manifest.json"));
}

TEST_F(ZooRun, AnArtifactThatWasChangedOrRemovedIsMadeAgain) {
  run();
  test::write_text(dir_ / "out/artifacts/a.w4a8/mquant_manifest.json", "other");
  fs::remove_all(dir_ / "out/artifacts/b.w4a8");
  run();
  EXPECT_THAT(calls("export"), ElementsAre("export a.w4a8", "export b.w4a8"));
  EXPECT_THAT(calls("verify"), ElementsAre("verify a.w4a8", "verify b.w4a8"));
}

TEST_F(ZooRun, WhatFailedRunsAgain) {
  behave("verify-a.w4a8", "exit 6");
  EXPECT_FALSE(run().passed());
  fs::remove(dir_ / "behaviour/verify-a.w4a8");
  EXPECT_TRUE(run().passed());
  EXPECT_THAT(calls("verify"), ElementsAre("verify a.w4a8"));
  EXPECT_THAT(calls("calibrate"), IsEmpty());
}

TEST_F(ZooRun, ARecordThatIsBrokenCountsAsNone) {
  run();
  for (const char* text : {"", "[]", "{}", R"({"key": 7})", "\xff\xfe"}) {
    test::write_text(dir_ / "out/jobs/a.w4a8/verify.json", text);
    run();
    EXPECT_THAT(calls("verify"), ElementsAre("verify a.w4a8")) << text;
  }
}

TEST_F(ZooRun, WhatACheckHasFoundIsReadWithCare) {
  options_.only = {"a.*"};
  run_zoo_stage(options_, "check", view_);
  Json record = Json::parse(test::read_text(dir_ / "out/jobs/a.w4a8/check.json"));
  for (const Json& facts : {Json(), Json(7), Json::object(), Json{{"model", 7}}}) {
    record["facts"] = facts;
    test::write_text(dir_ / "out/jobs/a.w4a8/check.json", record.dump());
    EXPECT_THROW(run_zoo_stage(options_, "calibrate", view_), Error) << facts;
  }
}

TEST_F(ZooRun, TheModelIsDigestedOnceForAllItsJobs) {
  write_zoo(
      R"({"models": ["models/a"], "defaults": {"data": "c", "recipes": ["w4a8", "w8a8", "w4a8-kv8"]}})");
  EXPECT_TRUE(run().passed());
  const std::string words = test::read_text(dir_ / "words");
  EXPECT_EQ(words.find("--digest"), words.rfind("--digest"));
  EXPECT_NE(words.find("--digest"), std::string::npos);
}

TEST_F(ZooRun, OutputOfOthersIsLeftAlone) {
  test::write_text(dir_ / "out/thesis.txt", "mine");
  EXPECT_THROW(run(), Error);
  EXPECT_THAT(calls(), IsEmpty());
  EXPECT_EQ(test::read_text(dir_ / "out/thesis.txt"), "mine");
}

TEST_F(ZooRun, ResultsAreContinuedOnlyOnRequest) {
  run();
  options_.resume = false;
  EXPECT_THROW(run(), Error);
  EXPECT_THAT(calls(), IsEmpty());
}

/// Each calibration notes how many run at that moment.
constexpr const char* kCounting = R"sh(mkdir -p "$here/running"; touch "$here/running/$$"
ls "$here/running" | wc -l >> "$here/counts"; sleep 0.4; ls "$here/running" | wc -l >> "$here/counts"; rm "$here/running/$$")sh";

int most_at_once(const fs::path& counts) {
  int most = 0;
  for (const std::string& line : split(test::read_text(counts), '\n'))
    if (!line.empty()) most = std::max(most, std::stoi(line));
  return most;
}

TEST_F(ZooRun, NoMoreJobsRunThanAreAllowed) {
  for (const char* job : {"a", "b", "c"}) behave(std::string("calibrate-") + job + ".w4a8", kCounting);
  options_.jobs = 2;
  EXPECT_TRUE(run().passed());
  EXPECT_LE(most_at_once(dir_ / "counts"), 2);
}

/// Each waits for the other, as long as a busy machine may take.
TEST_F(ZooRun, JobsRunSideBySide) {
  for (const char* job : {"a", "b"})
    behave(std::string("calibrate-") + job + ".w4a8",
           R"sh(touch "$here/met.$subject"; for i in $(seq 600); do
             [ -e "$here/met.a.w4a8" ] && [ -e "$here/met.b.w4a8" ] && break; [ $i = 600 ] && exit 3; sleep 0.05; done)sh");
  options_.only = {"[ab].*"};
  options_.jobs = 2;
  EXPECT_TRUE(run().passed());
}

TEST_F(ZooRun, MemoryKeepsJobsApart) {
  for (const char* job : {"a", "b", "c"}) {
    behave(std::string("calibrate-") + job + ".w4a8", kCounting);
    behave(std::string("inspect-") + job, "peak=600000000");
  }
  options_.jobs = 3;
  EXPECT_TRUE(run().passed());
  EXPECT_EQ(most_at_once(dir_ / "counts"), 1);
}

TEST_F(ZooRun, AJobThatNeverFitsIsAProblem) {
  behave("inspect-b", "peak=2000000000");
  const ZooReport report = run();
  EXPECT_EQ(report.problem_code(), 5);
  ASSERT_EQ(report.problems.size(), 1u);
  EXPECT_THAT(report.problems[0].message, AllOf(HasSubstr("of memory"), HasSubstr("by --memory")));
  write_zoo(std::string(kZoo).insert(std::string(kZoo).find("\"checks\""), R"("memory": "100MiB", )"));
  EXPECT_TRUE(run().passed());
}

TEST_F(ZooRun, AJobLargerThanTheDiskIsAProblem) {
  fs::remove(dir_ / "mquant");
  std::string program = kProgram;
  program.replace(program.find("\"artifact_bytes\": 10"), 20, "\"artifact_bytes\": 1000000000000000");
  test::write_text(dir_ / "mquant", program);
  chmod((dir_ / "mquant").c_str(), 0755);
  write_zoo(std::string(kZoo).insert(std::string(kZoo).find("\"checks\""), R"("memory": "100MiB", )"));
  const ZooReport report = run();
  EXPECT_EQ(report.problem_code(), 5);
  EXPECT_THAT(report.problems.back().message, HasSubstr("the jobs will write about"));
}

TEST_F(ZooRun, WhatIsKeptNeedsNoMemory) {
  run();
  options_.memory = 1000;
  EXPECT_TRUE(run().passed());
}

TEST_F(ZooRun, AnyFileOfAnArtifactThatIsGoneOrOtherIsMadeAgain) {
  behave("export-a.w4a8", R"(mkdir -p "$output"; echo weights > "$output/model.safetensors")");
  options_.only = {"a.*"};
  run();
  const fs::path weights = dir_ / "out/artifacts/a.w4a8/model.safetensors";
  fs::last_write_time(weights, fs::file_time_type::clock::now());  // a copy: the same bytes
  run();
  EXPECT_THAT(calls("export"), IsEmpty());
  test::write_text(weights, "weightz\n");
  run();
  EXPECT_THAT(calls("export"), ElementsAre("export a.w4a8"));
  fs::remove(weights);
  run();
  EXPECT_THAT(calls("export"), ElementsAre("export a.w4a8"));
}

TEST_F(ZooRun, InputsThatChangeBetweenCheckAndStageAreTold) {
  behave("calibrate-a.w4a8", R"(ran="$here/models/b")");
  behave("eval-b.w4a8", R"(echo '{"all": {}, "answers": [], "digest": "other"}' > "$result"; exit 0)");
  const ZooReport report = run();
  EXPECT_EQ(stage(report, "a.w4a8", "calibrate").error,
            "the model changed while the zoo ran; run it again with --resume");
  EXPECT_EQ(stage(report, "b.w4a8", "eval-e").error,
            "the samples changed while the zoo ran; run it again with --resume");
  EXPECT_EQ(stage(report, "c.w4a8", "eval-e").state, StageState::passed);
  fs::remove_all(dir_ / "behaviour");
  EXPECT_TRUE(run().passed());
}

TEST_F(ZooRun, WhatAnEarlierRunLeftDamagedIsMadeAgainOnce) {
  std::string zoo = kZoo;
  zoo.replace(zoo.find("\"checks\""), 0, R"("keep_calibration": true, )");
  write_zoo(zoo);
  options_.only = {"a.*"};
  run();
  fs::remove_all(dir_ / "out/artifacts/a.w4a8");
  behave("export-a.w4a8", R"([ -f "$here/mended" ] || { touch "$here/mended"; exit 3; })");
  EXPECT_TRUE(run().passed());
  EXPECT_THAT(calls("export"), ElementsAre("export a.w4a8", "export a.w4a8"));
  EXPECT_THAT(calls("calibrate"), ElementsAre("calibrate a.w4a8"));
  fs::remove_all(dir_ / "out/artifacts/a.w4a8");
  behave("export-a.w4a8", "exit 3");
  EXPECT_FALSE(run().passed());
  EXPECT_EQ(calls("export").size(), 2u);
}

TEST_F(ZooRun, ACalibrationThatIsToBeKeptIsMadeAgainWhereItIsGone) {
  options_.only = {"a.*"};
  run();
  EXPECT_FALSE(fs::exists(dir_ / "out/jobs/a.w4a8/calibration"));
  std::string zoo = kZoo;
  zoo.replace(zoo.find("\"checks\""), 0, R"("keep_calibration": true, )");
  write_zoo(zoo);
  EXPECT_TRUE(run().passed());
  EXPECT_TRUE(fs::exists(dir_ / "out/jobs/a.w4a8/calibration"));
  EXPECT_THAT(calls("export"), IsEmpty());
}

TEST_F(ZooRun, AnotherJobDigestsTheModelWhereTheFirstFails) {
  write_zoo(R"({"models": ["models/a"], "defaults": {"data": "c", "recipes": ["w4a8", "w8a8"]},
                "jobs": {"a.w4a8": {"data": "nowhere"}}})");
  behave("inspect-a", R"(case "$*" in *nowhere*) exit 3 ;; esac)");
  options_.keep_going = true;
  const ZooReport report = run();
  EXPECT_EQ(stage(report, "a.w4a8", "check").state, StageState::error);
  EXPECT_EQ(report.jobs[1].state(), StageState::passed);
  EXPECT_LE(calls("inspect").size(), 3u);
}

TEST_F(ZooRun, WhatCannotBeWrittenForOneJobStopsNoOther) {
  fs::create_directories(dir_ / "out/jobs/a.w4a8/calibrate.json/full");
  test::write_text(dir_ / "out/.mquant-zoo", "");
  options_.resume = true;
  const ZooReport report = run();
  EXPECT_EQ(stage(report, "a.w4a8", "calibrate").state, StageState::error);
  EXPECT_EQ(stage(report, "b.w4a8", "eval-e").state, StageState::passed);
  EXPECT_FALSE(summary()["passed"].get<bool>());
}

TEST_F(ZooRun, OutputWithinAModelIsAProblem) {
  options_.output = dir_ / "models/b/out";
  const ZooReport report = run();
  EXPECT_EQ(report.problem_code(), 2);
  EXPECT_THAT(report.problems.at(0).message, HasSubstr("lies in its model"));
  EXPECT_THAT(calls("calibrate"), IsEmpty());
}

TEST_F(ZooRun, OutputBesideModelsIsNoModel) {
  options_.output = dir_ / "models/out";
  EXPECT_TRUE(run().passed());
  EXPECT_EQ(run().jobs.size(), 3u);
}

TEST_F(ZooRun, ProblemsReplaceTheResultsOfAnEarlierRun) {
  run();
  behave("inspect-b", R"(echo 'mquant: error: broken' >&2; echo 'hint: mend it' >&2; exit 3)");
  const ZooReport report = run();
  EXPECT_EQ(report.problems.at(0).message, "broken");
  EXPECT_FALSE(summary()["passed"].get<bool>());
  EXPECT_THAT(test::read_text(dir_ / "out/junit.xml"), HasSubstr("message=\"broken\""));
}

TEST_F(ZooRun, ACheckThatIsKilledIsAMatterOfResources) {
  behave("inspect-b", "kill -9 $$");
  EXPECT_EQ(run().problem_code(), 5);
}

TEST_F(ZooRun, TroubleIsShownByTheLastLinesOfItsStage) {
  behave("verify-a.w4a8", "echo 'the problem itself'; exit 6");
  const ZooReport report = run();
  EXPECT_THAT(stage(report, "a.w4a8", "verify").last_lines, Contains("the problem itself"));
  EXPECT_THAT(test::read_text(dir_ / "out/junit.xml"), HasSubstr("the problem itself"));
}

TEST_F(ZooRun, InputsAreAllThatJobsRead) {
  test::write_text(dir_ / "zoo.json",
                   R"({"models": ["models/a"], "defaults": {"data": "c", "recipes": ["./r.json"],
      "chat_template": "t.jinja", "checks": [{"check": "eval", "data": "e"}]}})");
  std::vector<std::string> names;
  for (const fs::path& path : zoo_inputs(options_.file)) names.push_back(path.filename());
  EXPECT_THAT(names, UnorderedElementsAre("zoo.json", "a", "c", "t.jinja", "r.json", "e"));
}

TEST_F(ZooRun, OnlyChoosesJobs) {
  options_.only = {"[ab].*"};
  EXPECT_EQ(run().jobs.size(), 2u);
  options_.only = {"a.w4a9"};
  try {
    run();
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("did you mean 'a.w4a8'?"));
  }
}

TEST_F(ZooRun, StagesRunOneByOneForOtherEngines) {
  options_.only = {"a.*"};
  EXPECT_THROW(run_zoo_stage(options_, "calibrate", view_), Error);  // its check has not run
  for (const char* name : {"check", "calibrate", "export", "verify", "eval-e"}) {
    forget_calls();
    const ZooReport report = run_zoo_stage(options_, name, view_);
    EXPECT_TRUE(is_done(stage(report, "a.w4a8", name).state)) << name;
    EXPECT_THAT(calls(), Not(IsEmpty())) << name;
  }
  forget_calls();
  EXPECT_TRUE(run_zoo_stage(options_, "report", view_).passed());
  EXPECT_THAT(calls(), IsEmpty());
  EXPECT_TRUE(summary()["passed"].get<bool>());
  EXPECT_THROW(run_zoo_stage(options_, "exprot", view_), Error);
  // What engines have done is what a run of ours would have done.
  options_.resume = true;
  EXPECT_TRUE(run().passed());
  EXPECT_THAT(calls("calibrate"), IsEmpty());
}

TEST_F(ZooRun, AStageOfOtherInputsDoesNotCountForTheNext) {
  options_.only = {"a.*"};
  for (const char* name : {"check", "calibrate"}) run_zoo_stage(options_, name, view_);
  set_model("a", "others");
  run_zoo_stage(options_, "check", view_);
  EXPECT_THROW(run_zoo_stage(options_, "export", view_), Error);
}

TEST_F(ZooRun, AStageKnowsThatTheZooFileHasChanged) {
  options_.only = {"a.*"};
  for (const char* name : {"check", "calibrate", "export", "verify", "eval-e"})
    run_zoo_stage(options_, name, view_);
  std::string zoo = kZoo;
  zoo.replace(zoo.find("c.jsonl"), 7, "d.jsonl");
  write_zoo(zoo);
  EXPECT_FALSE(run_zoo_stage(options_, "report", view_).passed());
  EXPECT_THROW(run_zoo_stage(options_, "calibrate", view_), Error);
}

TEST_F(ZooRun, AStageKnowsThatAnArtifactIsGone) {
  options_.only = {"a.*"};
  for (const char* name : {"check", "calibrate", "export"}) run_zoo_stage(options_, name, view_);
  fs::remove_all(dir_ / "out/artifacts/a.w4a8");
  EXPECT_THROW(run_zoo_stage(options_, "verify", view_), Error);
  forget_calls();
  for (const char* name : {"check", "calibrate", "export", "verify"}) run_zoo_stage(options_, name, view_);
  EXPECT_THAT(calls(),
              ElementsAre("inspect a", "eval a", "calibrate a.w4a8", "export a.w4a8", "verify a.w4a8"));
}

TEST_F(ZooRun, AFailedStageIsReported) {
  behave("inspect-b", R"(echo '{"event": "log", "level": "error", "message": "broken"}' >&2; exit 3)");
  run_zoo_stage(options_, "check", view_);
  const ZooReport report = run_zoo_stage(options_, "report", view_);
  EXPECT_FALSE(report.passed());
  EXPECT_EQ(stage(report, "b.w4a8", "check").error, "broken");
}

}  // namespace
}  // namespace mquant
