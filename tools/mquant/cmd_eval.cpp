// mquant eval: how well a model, a calibration or an artifact answers.
#include <nlohmann/json.hpp>

#include "arguments.h"
#include "command.h"

namespace mquant::cli {
namespace {

struct Options : EvalOptions {
  std::string reference_model, json;
};

void run_eval(Options options) {
  if (!options.reference_model.empty()) options.reference = options.reference_model;
  const EvalReport report = evaluate(options);
  print(eval_screen(report), eval_json(report), options.json);
}

}  // namespace

void add_eval(CLI::App& app, Command& command) {
  auto options = std::make_shared<Options>();
  CLI::App* cmd =
      add_command(app, "eval", "Exact match, perplexity, and agreement with a reference",
                  {"eval qwen-w4a8 --data eval.jsonl",
                   "eval qwen-w4a8 --data eval.jsonl --reference Qwen2-VL-7B-Instruct",
                   "eval Qwen2-VL-7B-Instruct --data eval.jsonl --limit 100 --json float.json"},
                  "0 done, 2 usage, 3 bad input, 4 unsupported, 5 disk or memory, 130 interrupted");
  cmd->add_option("MODEL", options->model, "Directory of a model, a calibration or an artifact")
      ->required()
      ->type_name("DIR");
  cmd->add_option("--data", options->data, "Samples with answers, one JSON a line")
      ->required()
      ->type_name("FILE");
  cmd->add_option("--reference", options->reference_model,
                  "Model to compare the logits with; its key-value cache is float")
      ->type_name("DIR");
  cmd->add_option("--limit", options->limit, "The first N samples only; 0: all")
      ->type_name("N")
      ->check(at_least(0));
  cmd->add_option("--max-new-tokens", options->max_new_tokens, "Tokens to decode for an answer")
      ->type_name("N")
      ->check(at_least(1))
      ->capture_default_str();
  add_chat_template_option(*cmd, command.run);
  add_executor_option(*cmd, options->executor);
  add_kv_cache_option(*cmd, options->kv_cache);
  add_json_option(*cmd, options->json);
  cmd->callback([options, &command] {
    command.files = {.used = {options->model, options->data, options->reference_model},
                     .json = options->json};
    command.job = [options, &command] {
      options->run = command.run;
      run_eval(*options);
    };
  });
}

}  // namespace mquant::cli
