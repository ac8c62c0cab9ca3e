#include "command.h"

#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "arguments.h"
#include "mquant/error.h"
#include "support/atomic_file.h"
#include "support/strings.h"
#include "support/table.h"

namespace mquant::cli {

CLI::App* add_command(CLI::App& app, const std::string& name, const std::string& summary,
                      const std::vector<std::string>& examples, const std::string& exit_codes) {
  std::string footer = "Examples:\n";
  for (const std::string& example : examples) footer += "  mquant " + example + "\n";
  footer += "\nExit codes: " + exit_codes +
            "\nGlobal options (--threads, --progress, --log-level, ...): mquant --help";
  CLI::App* command = app.add_subcommand(name, summary);
  command->footer(footer);
  return command;
}

void add_recipe_options(CLI::App& command, std::string& recipe, std::vector<std::string>& overrides) {
  command.add_option("--recipe", recipe, "Name (mquant list recipes) or file of a recipe")
      ->type_name("RECIPE")
      ->capture_default_str();
  command
      .add_option("--set", overrides,
                  "Change the recipe, e.g. round.damping=0.05, drop=suppress; may be repeated")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
}

void add_json_option(CLI::App& command, std::string& target) {
  command.add_flag("--json{-}", target, "The result as JSON, to stdout or to FILE.json")->type_name("FILE");
}

void add_executor_option(CLI::App& command, Executor& executor) {
  command
      .add_option_function<std::string>(
          "--executor",
          [&executor](const std::string& name) {
            executor = name == "plain" ? Executor::plain : Executor::fast;
          },
          "fast, or plain: step by step as the definition says, to check against")
      ->type_name("NAME")
      ->check(one_of({"fast", "plain"}))
      ->default_str("fast");
}

void add_memory_option(CLI::App& command, std::int64_t& bytes, const std::string& what) {
  command
      .add_option_function<std::string>(
          "--memory",
          [&bytes](const std::string& text) {
            const auto size = parse_bytes(text);
            if (!size || *size <= 0)
              fail(ErrorKind::usage, "--memory '", text, "': expected a size such as 12GiB or 800MB");
            bytes = *size;
          },
          what)
      ->type_name("SIZE");
}

void add_loop_options(CLI::App& command, CalibrateOptions& options) {
  add_memory_option(command, options.memory_bytes,
                    "Memory to work in, such as 12GiB; samples that do not fit wait on the disk of the "
                    "calibration; default: half of what is free");
  command
      .add_option("--checkpoint-minutes", options.checkpoint_minutes,
                  "How often the samples' states are written for --resume; 0: after each block")
      ->type_name("MINUTES")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str();
  add_executor_option(command, options.executor);
}

void add_chat_template_option(CLI::App& command, RunSettings& run) {
  command
      .add_option("--chat-template", run.chat_template,
                  "Chat template (Jinja, or a chat_template.json) in place of the model's own")
      ->type_name("FILE");
  command.add_option("--template-date", run.template_date, "The date that a chat template prints as today's")
      ->type_name("YYYY-MM-DD");
}

void add_kv_cache_option(CLI::App& command, KvCacheType& type) {
  static const std::map<std::string, KvCacheType> kTypes = {
      {"auto", KvCacheType::automatic}, {"float", KvCacheType::float32}, {"int8", KvCacheType::int8}};
  command
      .add_option_function<std::string>(
          "--kv-cache", [&type](const std::string& name) { type = kTypes.at(name); },
          "Keys and values as auto, float or int8; auto: int8 where the model has scales (calibrate-kv)")
      ->type_name("TYPE")
      ->check(one_of({"auto", "float", "int8"}))
      ->default_str("auto");
}

std::string kv_cache_text(const KvCacheReport& cache) {
  return cat(cache.type, " key-value cache, ", grouped(cache.bytes_per_token), " bytes a token");
}

Json kv_cache_json(const KvCacheReport& cache) {
  return {{"type", cache.type}, {"bytes_per_token", cache.bytes_per_token}};
}

void print(const std::string& screen, const Json& json, const std::string& target) {
  // Names come from files of others: what is no UTF-8 is replaced, not fatal.
  const auto text = [&] { return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"; };
  std::cout << (target == "-" ? text() : screen) << std::flush;
  if (target.empty() || target == "-") return;
  if (const std::filesystem::path parent = std::filesystem::path(target).parent_path(); !parent.empty())
    std::filesystem::create_directories(parent);
  write_file_atomically(target, text());
}

}  // namespace mquant::cli
