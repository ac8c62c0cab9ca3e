// mquant generate: one answer.
#include <nlohmann/json.hpp>

#include "arguments.h"
#include "command.h"
#include "mquant/error.h"
#include "mquant/log.h"
#include "support/table.h"

namespace mquant::cli {
namespace {

struct Options : GenerateOptions {
  std::string json;
};

Json generation_json(const Generation& result) {
  return {{"text", result.text},
          {"prompt_tokens", result.prompt_tokens},
          {"visual_tokens", result.visual_tokens},
          {"new_tokens", result.new_tokens},
          {"load_seconds", result.load_seconds},
          {"prefill_seconds", result.prefill_seconds},
          {"decode_seconds", result.decode_seconds},
          {"kv_cache", kv_cache_json(result.kv_cache)}};
}

void run_generate(const Options& options) {
  const Generation result = generate(options);
  print(result.text + "\n", generation_json(result), options.json);
  info(cat(counted(result.prompt_tokens, "prompt token"), " (", result.visual_tokens, " visual) in ",
           fixed(result.prefill_seconds, 2), " s, ", counted(result.new_tokens, "new token"), " in ",
           fixed(result.decode_seconds, 2), " s; loaded in ", fixed(result.load_seconds, 2), " s; ",
           kv_cache_text(result.kv_cache)));
}

}  // namespace

void add_generate(CLI::App& app, Command& command) {
  auto options = std::make_shared<Options>();
  CLI::App* cmd =
      add_command(app, "generate", "One answer, greedily decoded",
                  {"generate qwen-w4a8 --image cat.png --prompt 'What is in the picture?'",
                   "generate Qwen2-VL-7B-Instruct --image a.png --image b.jpg --prompt 'Compare them.'",
                   "generate qwen-w4a8 --prompt 'Say hello.' --max-new-tokens 16 --json"},
                  "0 done, 2 usage, 3 bad input, 4 unsupported, 5 disk or memory, 130 interrupted");
  cmd->add_option("MODEL", options->model, "Directory of a model or an artifact")
      ->required()
      ->type_name("DIR");
  cmd->add_option("--prompt", options->prompt, "The question")->required()->type_name("TEXT");
  cmd->add_option("--image", options->images, "PNG or JPEG, before the question; may be repeated")
      ->type_name("FILE")
      ->allow_extra_args(false);
  cmd->add_option("--system", options->system, "System message; default: that of the chat template")
      ->type_name("TEXT");
  cmd->add_option("--max-new-tokens", options->max_new_tokens, "Stop after N tokens")
      ->type_name("N")
      ->check(at_least(1))
      ->capture_default_str();
  add_chat_template_option(*cmd, command.run);
  add_executor_option(*cmd, options->executor);
  add_kv_cache_option(*cmd, options->kv_cache);
  add_json_option(*cmd, options->json);
  cmd->callback([options, &command] {
    command.files = {.used = options->images, .json = options->json};
    command.files.used.push_back(options->model);
    command.job = [options, &command] {
      options->run = command.run;
      run_generate(*options);
    };
  });
}

}  // namespace mquant::cli
