// mquant forward: the tensors of a forward pass, to compare with those of other programs.
#include <nlohmann/json.hpp>

#include "arguments.h"
#include "command.h"
#include "mquant/error.h"
#include "support/table.h"

namespace mquant::cli {
namespace {

void run_forward(const ForwardOptions& options, const std::string& json) {
  const std::int64_t tensors = forward(options);
  print(cat("wrote ", counted(tensors, "tensor"), " to ", options.output.string(), "\n"),
        {{"tensors", tensors}, {"output", options.output.string()}}, json);
}

}  // namespace

void add_forward(CLI::App& app, Command& command) {
  struct Options : ForwardOptions {
    bool no_cache = false;
    std::string json;
  };
  auto options = std::make_shared<Options>();
  CLI::App* cmd =
      add_command(app, "forward", "The tensors of a forward pass, for comparison with other programs",
                  {"forward Qwen2-VL-2B-Instruct --data samples.jsonl --output tensors.safetensors",
                   "forward qwen-w4a8 --data samples.jsonl --limit 1 --greedy 8 --output t.safetensors",
                   "forward qwen-w4a8 --data samples.jsonl --greedy 8 --no-cache --output t.safetensors"},
                  "0 done, 2 usage, 3 bad input, 4 unsupported, 5 disk or memory, 130 interrupted");
  cmd->add_option("MODEL", options->model, "Directory of a model or an artifact")
      ->required()
      ->type_name("DIR");
  cmd->add_option("--data", options->data, "Samples, one JSON a line")->required()->type_name("FILE");
  cmd->add_option("--output", options->output, "Safetensors file to write")->required()->type_name("FILE");
  cmd->add_option("--greedy", options->greedy, "Also decode N tokens, stop tokens ignored")
      ->type_name("N")
      ->check(at_least(0));
  cmd->add_option("--limit", options->limit, "The first N samples only; 0: all")
      ->type_name("N")
      ->check(at_least(0));
  cmd->add_flag("--no-cache", options->no_cache, "Decode every token by a whole forward pass");
  add_chat_template_option(*cmd, command.run);
  add_executor_option(*cmd, options->executor);
  add_json_option(*cmd, options->json);
  cmd->callback([options, &command] {
    command.files = {
        .used = {options->model, options->data}, .json = options->json, .output = options->output};
    command.job = [options, &command] {
      options->run = command.run;
      options->cache = !options->no_cache;
      run_forward(*options, options->json);
    };
  });
}

}  // namespace mquant::cli
