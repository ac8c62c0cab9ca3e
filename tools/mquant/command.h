// What the subcommands share.  Each cmd_*.cpp maps options to one library call and prints its result.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "mquant/compile.h"
#include "result_files.h"

namespace mquant {
struct BenchReport;  // mquant/bench.h
}

namespace mquant::cli {

using Json = nlohmann::ordered_json;

/// Filled while the command line is read: the settings of all commands, and the job of the one that was
/// given.
struct Command {
  RunSettings run;
  std::function<void()> job;
  int exit_code = 0;    // of a job that ends well without an error, and still has something to say
  JobFiles files = {};  // no result may be written over them
  std::filesystem::path calibration = {};  // what --resume continues after an interruption; "": nothing
  std::filesystem::path journal = {};      // what the same command continues; "": nothing
};

void add_inspect(CLI::App& app, Command& command);
void add_calibrate(CLI::App& app, Command& command);
void add_export(CLI::App& app, Command& command);
void add_quantize(CLI::App& app, Command& command);
void add_eval(CLI::App& app, Command& command);
void add_generate(CLI::App& app, Command& command);
void add_forward(CLI::App& app, Command& command);
void add_verify(CLI::App& app, Command& command);
void add_bench(CLI::App& app, Command& command);
void add_list(CLI::App& app, Command& command);
void add_zoo(CLI::App& app, Command& command);

/// A subcommand whose help ends with `examples` (one a line, without "mquant ") and its exit codes.
CLI::App* add_command(CLI::App& app, const std::string& name, const std::string& summary,
                      const std::vector<std::string>& examples, const std::string& exit_codes);

/// --recipe and --set.
void add_recipe_options(CLI::App& command, std::string& recipe, std::vector<std::string>& overrides);

/// --json[=FILE]; `target` is then "-" or the file.
void add_json_option(CLI::App& command, std::string& target);

/// --chat-template.
void add_chat_template_option(CLI::App& command, RunSettings& run);

/// --memory SIZE, where `what` says whose.
void add_memory_option(CLI::App& command, std::int64_t& bytes, const std::string& what);

/// --memory, --checkpoint-minutes and --executor of a calibration.
void add_loop_options(CLI::App& command, CalibrateOptions& options);

/// --executor fast|plain.
void add_executor_option(CLI::App& command, Executor& executor);

/// --kv-cache.
void add_kv_cache_option(CLI::App& command, KvCacheType& type);

/// "int8 key-value cache, 4,096 bytes a token"
std::string kv_cache_text(const KvCacheReport& cache);
Json kv_cache_json(const KvCacheReport& cache);

/// `screen` to stdout, unless the JSON goes there; the JSON to `target` if there is one.
void print(const std::string& screen, const Json& json, const std::string& target);

/// What --dry-run and `inspect` show of a plan, and its JSON.
std::string plan_screen(const Plan& plan, const std::string& recipe);
Json plan_json(const Plan& plan);

/// What `calibrate` and `quantize` show of a report (compile.h), worst linears first.
std::string calibration_screen(const Json& report);

std::string eval_screen(const EvalReport& report);
Json eval_json(const EvalReport& report);
std::string eval_plan_screen(const EvalPlan& plan);
Json eval_plan_json(const EvalPlan& plan);

std::string bench_screen(const BenchReport& report);
Json bench_json(const BenchReport& report);

std::string export_screen(const ExportReport& report, const std::string& output);
Json export_json(const ExportReport& report, const std::string& output);

}  // namespace mquant::cli
