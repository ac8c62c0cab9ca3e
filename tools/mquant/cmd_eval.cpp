// mquant eval: how well a model, a calibration or an artifact answers.
#include <nlohmann/json.hpp>

#include "arguments.h"
#include "bound_options.h"
#include "command.h"

namespace mquant::cli {
namespace {

struct Options : EvalOptions {
  std::string reference_model, json;
  bool dry_run = false;
  BoundOptions given_bounds;
};

void run_eval(Options options) {
  if (!options.reference_model.empty()) options.reference = options.reference_model;
  options.bounds = options.given_bounds.bounds();
  if (options.dry_run) {
    const EvalPlan plan = plan_evaluation(options);
    return print(eval_plan_screen(plan), eval_plan_json(plan), options.json);
  }
  const EvalReport report = evaluate(options);
  print(eval_screen(report), eval_json(report), options.json);
  expect_bounds(report);
}

}  // namespace

void add_eval(CLI::App& app, Command& command) {
  auto options = std::make_shared<Options>();
  CLI::App* cmd =
      add_command(app, "eval", "Exact match, perplexity, and agreement with a reference",
                  {"eval qwen-w4a8 --data eval.jsonl",
                   "eval qwen-w4a8 --data eval.jsonl --reference Qwen2-VL-7B-Instruct",
                   "eval qwen-w4a8 --data eval.jsonl --reference Qwen2-VL-7B-Instruct --min-exact 80 "
                   "--max-kl 0.1",
                   "eval Qwen2-VL-7B-Instruct --data eval.jsonl --limit 100 --json float.json",
                   "eval Qwen2-VL-72B-Instruct --data eval.jsonl --journal float.jsonl"},
                  "0 done, 2 usage, 3 bad input, 4 unsupported, 5 disk or memory, 6 a bound is missed,\n"
                  "            130 interrupted: the same command with --journal continues");
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
  options->given_bounds.add_options(*cmd);
  cmd->add_option("--journal", options->journal,
                  "Keep each sample's result in FILE; the same command continues where it was stopped")
      ->type_name("FILE");
  cmd->add_flag("--dry-run", options->dry_run,
                "Check the samples, count tokens and memory; evaluate and write nothing");
  add_json_option(*cmd, options->json);
  cmd->callback([options, &command] {
    command.files = {.used = {options->model, options->data, options->reference_model},
                     .json = options->json,
                     .journal = options->journal};
    if (!options->dry_run) command.journal = options->journal;
    command.job = [options, &command] {
      options->run = command.run;
      run_eval(*options);
    };
  });
}

}  // namespace mquant::cli
