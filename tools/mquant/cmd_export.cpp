// mquant export: a calibration as an artifact that a runtime loads.
#include <nlohmann/json.hpp>

#include "command.h"
#include "mquant/artifact.h"

namespace mquant::cli {
namespace {

struct Options : ExportOptions {
  std::string json;
};

void run_export(const Options& options) {
  const ExportReport report = export_artifact(options);
  print(export_screen(report, options.output), export_json(report, options.output), options.json);
}

}  // namespace

void add_export(CLI::App& app, Command& command) {
  auto options = std::make_shared<Options>();
  CLI::App* cmd = add_command(
      app, "export", "A calibration as an artifact: packed weights, manifest, sidecar files",
      {"export qwen.cal --output qwen-w4a8",
       "export qwen.cal --output qwen-w4a8 --format compressed-tensors --overwrite",
       "export qwen.cal --output qwen-w4a8 --json report.json"},
      "0 done, 2 usage, 3 bad input, 4 the format cannot hold it, 5 disk or memory, 130 interrupted");
  cmd->add_option("CALIBRATION", options->calibration, "Directory that `mquant calibrate` wrote")
      ->required()
      ->type_name("DIR");
  cmd->add_option("--output", options->output, "Artifact directory to write")->required()->type_name("DIR");
  cmd->add_option("--format", options->format,
                  "Name (mquant list formats); auto: the first that holds it exactly")
      ->type_name("FORMAT")
      ->capture_default_str();
  cmd->add_option("--model", options->model, "Where the model is, if it has moved since the calibration")
      ->type_name("DIR");
  cmd->add_flag("--overwrite", options->overwrite, "Replace an artifact of ours that is there");
  add_json_option(*cmd, options->json);
  cmd->callback([options, &command] {
    command.files = {.used = {options->calibration, options->output, options->model}, .json = options->json};
    command.job = [options] { run_export(*options); };
  });
}

}  // namespace mquant::cli
