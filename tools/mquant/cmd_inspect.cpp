// mquant inspect: what a model is, what would be quantized, and what that takes.
#include <nlohmann/json.hpp>

#include "arguments.h"
#include "command.h"

namespace mquant::cli {
namespace {

struct InspectOptions : PlanOptions {
  std::string json;
};

void inspect(const InspectOptions& options) {
  const Plan plan = plan_model(options);
  print(plan_screen(plan, options.recipe), plan_json(plan), options.json);
}

}  // namespace

void add_inspect(CLI::App& app, Command& command) {
  auto options = std::make_shared<InspectOptions>();
  CLI::App* cmd = add_command(
      app, "inspect", "What a model is, what would be quantized, memory and time needed",
      {"inspect Qwen2-VL-7B-Instruct", "inspect Qwen2-VL-7B-Instruct --data calib.jsonl --limit 8",
       "inspect Qwen2-VL-7B-Instruct --recipe w8a8 --json plan.json",
       "inspect Qwen2-VL-7B-Instruct --deep --format compressed-tensors --recipe w4a8-offline"},
      "those of calibrate, before its first block: 0 done, 2 usage, 3 bad input, 4 unsupported\n"
      "            (a NaN among the weights is found with --deep only);\n"
      "            several obstacles are a line each, and the first one's code is returned");
  cmd->add_option("MODEL", options->model, "HuggingFace directory of a model")->required()->type_name("DIR");
  add_recipe_options(*cmd, options->recipe, options->overrides);
  add_chat_template_option(*cmd, command.run);
  cmd->add_option("--data", options->data, "Samples, one JSON a line: also count tokens and show prompts")
      ->type_name("FILE");
  cmd->add_option("--limit", options->limit, "Read the first N samples only; 0: all")
      ->type_name("N")
      ->check(at_least(0));
  add_memory_option(*cmd, options->memory_bytes,
                    "Memory that calibrate would be given, such as 12GiB; default: half of what is free");
  cmd->add_option("--format", options->format, "Also tell whether this format can hold the result")
      ->type_name("FORMAT")
      ->capture_default_str();
  cmd->add_flag("--deep", options->deep,
                "Read every tensor, as calibrate does, and refuse a NaN or an infinity");
  cmd->add_flag("--digest", options->digest_model, "Read every byte of the model; its digest is in --json");
  add_json_option(*cmd, options->json);
  cmd->callback([options, &command] {
    command.files = {
        .used = {options->model, options->data}, .json = options->json, .recipe = options->recipe};
    command.job = [options, &command] {
      options->run = command.run;
      inspect(*options);
    };
  });
}

}  // namespace mquant::cli
