// mquant quantize: calibrate and export in one, for scripts.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "check_options.h"
#include "command.h"
#include "mquant/artifact.h"
#include "mquant/error.h"
#include "mquant/log.h"
#include "support/paths.h"
#include "support/writable.h"

namespace mquant::cli {
namespace {

namespace fs = std::filesystem;

struct Options : CalibrateOptions {  // its `output` is the calibration
  std::string json;
  bool overwrite = false, keep = false, dry_run = false;
  CheckOptions check;
};

/// Beside the artifact, if it is not stated; "." and ".." have a name, too.
fs::path calibration_of(const Options& options) {
  if (!options.output.empty()) return options.output;
  const fs::path name = without_slash(options.artifact);
  const bool is_dots = name.filename() == "." || name.filename() == "..";
  fs::path beside = is_dots ? fs::weakly_canonical(name) : name;
  return beside += ".calibration";
}

/// An artifact is written into a directory that is empty until then.
void expect_apart(const fs::path& artifact, const fs::path& calibration) {
  for (const fs::path& path : {artifact, calibration}) expect_short_names(path);
  const fs::path around = fs::weakly_canonical(without_slash(artifact)),
                 inside = fs::weakly_canonical(calibration);
  if (std::ranges::mismatch(around, inside).in1 == around.end())
    fail(ErrorKind::usage, "--calibration '", calibration.string(), "' lies in --output '", artifact.string(),
         "'; give another directory");
}

/// What a run leaves that was killed after its artifact had been published.
bool is_done(const Options& options) {
  return options.resume && Artifact::is_artifact(options.artifact) &&
         (options.format == "auto" || options.format == report_of_artifact(options.artifact).format) &&
         is_quantized_into(options, options.artifact);
}

void finish(const Options& options, bool own_directory) {
  if (own_directory && !options.keep && CalibrationStore::is_calibration(options.output))
    CalibrationStore::remove(options.output);
}

void run_quantize(Options options) {
  options.check.add_to(options.recipe, options.overrides);
  const bool own_directory = options.output.empty();
  options.output = calibration_of(options);
  expect_apart(options.artifact, options.output);
  const bool done = is_done(options);
  if (!done) expect_output(options.artifact, options.overwrite);  // said now, not after hours
  if (options.dry_run) {
    const Plan plan = plan_model({options});
    return print(plan_screen(plan, options.recipe), plan_json(plan), options.json);
  }
  if (done) {
    const ExportReport report = report_of_artifact(options.artifact);
    Json calibration = Json::object();
    if (!report.self_check.empty()) calibration["self_check"] = Json::parse(report.self_check);
    info(cat(options.artifact.string(), " is complete already"));
    print(export_screen(report, options.artifact) + verdict(calibration),
          {{"export", export_json(report, options.artifact)}}, options.json);
    options.check.expect(calibration);
    return finish(options, own_directory);
  }
  const Json calibration = Json::parse(calibrate(options));
  if (!options.check.allows(calibration)) {  // the calibration stays, to look into
    print(calibration_screen(calibration) + verdict(calibration), {{"calibration", calibration}},
          options.json);
    options.check.expect(calibration);
  }
  const ExportReport report =
      export_artifact({options.output, options.artifact, {}, options.format, options.overwrite});
  finish(options, own_directory);
  const Json json = {{"calibration", calibration}, {"export", export_json(report, options.artifact)}};
  print(calibration_screen(calibration) + export_screen(report, options.artifact) + verdict(calibration),
        json, options.json);
}

}  // namespace

void add_quantize(CLI::App& app, Command& command) {
  auto options = std::make_shared<Options>();
  CLI::App* cmd =
      add_command(app, "quantize", "Calibrate and export in one",
                  {"quantize Qwen2-VL-7B-Instruct --data calib.jsonl --output qwen-w4a8",
                   "quantize Qwen2-VL-7B-Instruct --data calib.jsonl --output qwen-w4a8 --resume",
                   "quantize Qwen2-VL-7B-Instruct --data calib.jsonl --output qwen-w8a8 --recipe w8a8 "
                   "--keep-calibration"},
                  "0 done, 2 usage, 3 bad input, 4 unsupported, 5 disk or memory, 6 KL is over --max-kl,\n"
                  "            130 interrupted: the same command with --resume continues");
  cmd->add_option("MODEL", options->model, "HuggingFace directory of a model")->required()->type_name("DIR");
  cmd->add_option("--data", options->data, "Samples, one JSON a line")->required()->type_name("FILE");
  cmd->add_option("--output", options->artifact, "Artifact directory to write")->required()->type_name("DIR");
  add_recipe_options(*cmd, options->recipe, options->overrides);
  add_chat_template_option(*cmd, command.run);
  cmd->add_option("--format", options->format,
                  "Name (mquant list formats); auto: the first that holds it exactly")
      ->type_name("FORMAT")
      ->capture_default_str();
  cmd->add_option("--calibration", options->output,
                  "Calibration directory, kept; default: OUTPUT.calibration")
      ->type_name("DIR");
  cmd->add_flag("--keep-calibration", options->keep,
                "Keep OUTPUT.calibration; else it is removed after the export");
  cmd->add_flag("--resume", options->resume, "Continue an interrupted calibration");
  cmd->add_flag("--verify-each", options->verify_each,
                "Run each block before and after passes that must not change it");
  add_loop_options(*cmd, *options);
  options->check.add_options(*cmd);
  cmd->add_flag("--overwrite", options->overwrite, "Replace an artifact of ours that is there");
  cmd->add_flag("--dry-run", options->dry_run, "Show what would be done, memory and time; write nothing");
  add_json_option(*cmd, options->json);
  cmd->callback([options, &command] {
    command.files = {.used = {options->model, options->data, options->artifact, calibration_of(*options)},
                     .json = options->json,
                     .recipe = options->recipe};
    if (!options->dry_run) command.calibration = calibration_of(*options);
    command.job = [options, &command] {
      options->run = command.run;
      run_quantize(*options);
    };
  });
}

}  // namespace mquant::cli
