// mquant inspect: what a model is, what would be quantized, and what that takes.
#include <nlohmann/json.hpp>

#include "arguments.h"
#include "command.h"

namespace mquant::cli {
namespace {

struct InspectOptions {
  std::string model, data, recipe = "w4a8", json;
  std::vector<std::string> overrides;
  std::int64_t limit = 0;
};

void inspect(const InspectOptions& options, const RunSettings& run) {
  const auto data = options.data.empty() ? std::nullopt : std::optional<std::filesystem::path>(options.data);
  const Plan plan = plan_model(options.model, options.recipe, options.overrides, data, options.limit, run);
  print(plan_screen(plan, options.recipe), plan_json(plan), options.json);
}

}  // namespace

void add_inspect(CLI::App& app, Command& command) {
  auto options = std::make_shared<InspectOptions>();
  CLI::App* cmd = add_command(
      app, "inspect", "What a model is, what would be quantized, memory and time needed",
      {"inspect Qwen2-VL-7B-Instruct", "inspect Qwen2-VL-7B-Instruct --data calib.jsonl --limit 8",
       "inspect Qwen2-VL-7B-Instruct --recipe w8a8 --json plan.json"},
      "0 done, 2 usage, 3 bad input, 4 unsupported model");
  cmd->add_option("MODEL", options->model, "HuggingFace directory of a model")->required()->type_name("DIR");
  add_recipe_options(*cmd, options->recipe, options->overrides);
  cmd->add_option("--data", options->data, "Samples, one JSON a line: also count tokens and show prompts")
      ->type_name("FILE");
  cmd->add_option("--limit", options->limit, "Read the first N samples only; 0: all")
      ->type_name("N")
      ->check(at_least(0));
  add_json_option(*cmd, options->json);
  cmd->callback(
      [options, &command] { command.job = [options, &command] { inspect(*options, command.run); }; });
}

}  // namespace mquant::cli
