// mquant zoo: many models with many recipes, each pair a job with checks that it must pass.
#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "arguments.h"
#include "command.h"
#include "mquant/error.h"
#include "mquant/log.h"
#include "mquant/zoo.h"
#include "support/strings.h"
#include "zoo_view.h"

namespace mquant::cli {
namespace {

struct Options : ZooOptions {
  bool dry_run = false;
  std::string stage, json;
};

constexpr int kSomeFailed = 1;

void tell_problems(const ZooReport& report) {
  for (const ZooProblem& problem : report.problems)
    log_error(problem.job.empty() ? problem.message : cat(problem.job, ": ", problem.message));
  if (report.problems.size() > 1)
    log_error(cat(report.problems.size(), " obstacles, as told above: nothing was run"));
}

/// Everything that the plan knows, in the order of the jobs.
std::string plan_text(const ZooReport& report) {
  std::string text;
  for (const ZooJob& job : report.jobs) {
    std::vector<std::string> stages;
    std::int64_t memory = 0;
    double seconds = 0;
    for (const ZooStage& stage : job.stages) {
      stages.push_back(stage.state == StageState::kept ? stage.name + " (unchanged)" : stage.name);
      memory = std::max(memory, stage.memory_bytes);
      seconds += stage.state == StageState::waiting ? stage.expected_seconds : 0;
    }
    text += cat(job.name, ": ", join(stages, ", "), "\n");
    if (memory > 0)
      text += cat("  about ", human_bytes(static_cast<std::uint64_t>(memory)), " of memory, calibrate ",
                  human_duration(std::chrono::duration<double>(seconds)), "\n");
  }
  return text + cat("disk: about ", human_bytes(static_cast<std::uint64_t>(report.disk_bytes)),
                    "; memory: ", human_bytes(static_cast<std::uint64_t>(report.memory_bytes)),
                    " to share out\n");
}

bool is_passed(const ZooReport& report, const std::string& stage) {
  if (stage.empty() || stage == "report") return report.passed();
  return std::ranges::all_of(report.jobs, [&](const ZooJob& job) {
    return std::ranges::all_of(
        job.stages, [&](const ZooStage& of_job) { return of_job.name != stage || is_done(of_job.state); });
  });
}

ZooReport run(const Options& options, ZooScreen& screen) {
  if (options.dry_run) return plan_zoo(options, screen);
  return options.stage.empty() ? run_zoo(options, screen) : run_zoo_stage(options, options.stage, screen);
}

void run_zoo_command(const Options& options, Command& command) {
  if (options.dry_run && !options.stage.empty())
    fail(ErrorKind::usage, "--dry-run shows the plan of all stages, --stage runs one; leave one of them out");
  unsetenv("MQUANT_LOG_FILE");  // each job has a log of its own
  ZooScreen screen;
  const ZooReport report = run(options, screen);
  screen.end();
  if (report.interrupted)
    fail(ErrorKind::interrupted,
         "interrupted; what is finished is kept: the same command with --resume continues");
  const Json json = Json::parse(zoo_summary(report));
  tell_problems(report);
  if (const int code = report.problem_code(); code != 0) {
    print("", json, options.json);
    command.exit_code = code;
    return;
  }
  const bool one_stage = !options.stage.empty() && options.stage != "report";
  print(options.dry_run ? plan_text(report) : one_stage ? "" : zoo_screen(report), json, options.json);
  if (!options.dry_run && !is_passed(report, options.stage)) command.exit_code = kSomeFailed;
}

}  // namespace

void add_zoo(CLI::App& app, Command& command) {
  auto options = std::make_shared<Options>();
  CLI::App* cmd = add_command(
      app, "zoo", "Many models with many recipes: calibrate, export, and what each artifact must pass",
      {"zoo zoo.json --output out --dry-run", "zoo zoo.json --output out --jobs 4",
       "zoo zoo.json --output out --jobs 4 --resume --only 'qwen*'"},
      "0 all passed, 1 a job failed its run or its checks, 2 to 5 the gravest of the problems that\n"
      "            were found before the work, which then does not begin, 130 interrupted: --resume "
      "continues");
  cmd->add_option("ZOO", options->file, "Zoo file: models, recipes, checks (docs/zoo.md)")
      ->required()
      ->type_name("FILE");
  cmd->add_option("--output", options->output, "Directory for artifacts, logs and results")
      ->required()
      ->type_name("DIR");
  cmd->add_option("--jobs", options->jobs, "Jobs side by side, as far as memory allows")
      ->type_name("N")
      ->check(integer_from(1, 256))
      ->capture_default_str();
  add_memory_option(*cmd, options->memory,
                    "Memory of all jobs together, such as 12GiB; default: nine tenths of what is free");
  cmd->add_flag("--resume", options->resume, "Continue what is in DIR; keep what is unchanged");
  cmd->add_option("--only", options->only, "Jobs (MODEL.RECIPE) that match PATTERN; may be repeated")
      ->type_name("PATTERN")
      ->allow_extra_args(false);
  cmd->add_flag("--keep-going", options->keep_going, "Run the other jobs where some have problems");
  cmd->add_flag("--dry-run", options->dry_run, "Check all jobs, show the plan; write nothing");
  cmd->add_option("--stage", options->stage,
                  "Run this stage only, for workflow engines; report: write the results of what has run")
      ->type_name("NAME");
  add_json_option(*cmd, options->json);
  cmd->callback([options, &command] {
    command.files = {.used = zoo_inputs(options->file), .json = options->json};
    command.job = [options, &command] {
      options->threads = command.run.threads;
      options->seed = command.run.seed;
      options->device = command.run.device;
      run_zoo_command(*options, command);
    };
  });
}

}  // namespace mquant::cli
