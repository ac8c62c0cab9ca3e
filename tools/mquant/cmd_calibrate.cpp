// mquant calibrate: everything that needs data, into a calibration directory; a run that was interrupted continues.
#include <nlohmann/json.hpp>

#include "arguments.h"
#include "check_options.h"
#include "command.h"
#include "mquant/error.h"
#include "support/strings.h"

namespace mquant::cli {
namespace {

struct Options : CalibrateOptions {
  bool dry_run = false;
  CheckOptions check;
  std::string json;
};

void run_calibrate(Options options) {
  options.check.add_to(options.recipe, options.overrides);
  if (options.dry_run) {
    const Plan plan = plan_model({options});
    return print(plan_screen(plan, options.recipe), plan_json(plan), options.json);
  }
  const Json report = Json::parse(calibrate(options));
  const std::string next =
      command_line(Arguments{"mquant", "export", options.output, "--output", "ARTIFACT"});
  print(cat(calibration_screen(report), "next: ", next, "\n", verdict(report)), report, options.json);
  options.check.expect(report);
}

}  // namespace

void add_calibrate(CLI::App& app, Command& command) {
  auto options = std::make_shared<Options>();
  CLI::App* cmd = add_command(
      app, "calibrate", "Rotations, rounding and static scales: everything that needs data; resumable",
      {"calibrate Qwen2-VL-7B-Instruct --data calib.jsonl --output qwen.cal",
       "calibrate Qwen2-VL-7B-Instruct --data calib.jsonl --output qwen.cal --resume",
       "calibrate Qwen2-VL-7B-Instruct --data calib.jsonl --output qwen.cal --set round.method=rtn "
       "--dry-run"},
      "0 done, 2 usage, 3 bad input, 4 unsupported, 5 disk or memory, 6 a pass changed the function\n"
      "            (--verify-each) or KL is over --max-kl, 130 interrupted: the same command with --resume "
      "continues");
  cmd->add_option("MODEL", options->model, "HuggingFace directory of a model")->required()->type_name("DIR");
  cmd->add_option("--data", options->data, "Samples, one JSON a line")->required()->type_name("FILE");
  cmd->add_option("--output", options->output, "Calibration directory to write")
      ->required()
      ->type_name("DIR");
  add_recipe_options(*cmd, options->recipe, options->overrides);
  add_chat_template_option(*cmd, command.run);
  cmd->add_flag("--resume", options->resume, "Continue an interrupted calibration in --output");
  cmd->add_flag("--verify-each", options->verify_each,
                "Run each block before and after passes that must not change it");
  add_loop_options(*cmd, *options);
  options->check.add_options(*cmd);
  cmd->add_flag("--dry-run", options->dry_run, "Show what would be done, memory and time; write nothing");
  add_json_option(*cmd, options->json);
  cmd->callback([options, &command] {
    command.files = {.used = {options->model, options->data, options->output},
                     .json = options->json,
                     .recipe = options->recipe};
    if (!options->dry_run) command.calibration = options->output;
    command.job = [options, &command] {
      options->run = command.run;
      run_calibrate(*options);
    };
  });
}

}  // namespace mquant::cli
