// mquant bench: speed and memory of an artifact, against the same model in float.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "arguments.h"
#include "command.h"
#include "mquant/bench.h"
#include "mquant/error.h"
#include "support/strings.h"

namespace mquant::cli {
namespace {

struct Options : BenchOptions {
  std::vector<std::string> sizes = {"896x896"}, names;
  std::string json;
};

std::vector<std::string> variant_names() {
  std::vector<std::string> names;
  for (const BenchVariant variant : kBenchVariants) names.emplace_back(bench_variant_name(variant));
  return names;
}

/// "WIDTHxHEIGHT".
PictureSize parsed_size(const std::string& text) {
  PictureSize size;
  char rest = 0;
  if (std::sscanf(text.c_str(), "%5ldx%5ld%c", &size.width, &size.height, &rest) != 2 || size.width < 1 ||
      size.height < 1)
    fail(ErrorKind::usage, "--picture: expected WIDTHxHEIGHT in pixels, such as 896x896, or none, found '",
         text, "'");
  return size;
}

void settle(Options& options) {
  options.pictures.clear();
  for (const std::string& text : options.sizes)
    if (text != "none") options.pictures.push_back(parsed_size(text));
  if (options.names.empty()) return;
  options.variants.clear();
  for (const BenchVariant variant : kBenchVariants)  // in their own order, each once
    if (std::ranges::find(options.names, bench_variant_name(variant)) != options.names.end())
      options.variants.push_back(variant);
}

void run_bench(Options& options) {
  settle(options);
  const BenchReport report = bench(options);
  print(bench_screen(report), bench_json(report), options.json);
}

void add_workload_options(CLI::App& cmd, Options& options) {
  cmd.add_option("--picture", options.sizes, "A picture of WIDTHxHEIGHT pixels, or none; may be repeated")
      ->type_name("SIZE")
      ->allow_extra_args(false)
      ->default_str(join(options.sizes, " "));
  cmd.add_option("--text", options.text_tokens, "Text tokens of the prompt, chat template included")
      ->type_name("N")
      ->check(at_least(1))
      ->capture_default_str();
  cmd.add_option("--batch", options.batch, "Sequences at a time")
      ->type_name("N")
      ->check(at_least(1))
      ->capture_default_str();
  cmd.add_option("--decode", options.decode_tokens, "Tokens to decode; 0: prefill only")
      ->type_name("N")
      ->check(at_least(0))
      ->capture_default_str();
}

}  // namespace

void add_bench(CLI::App& app, Command& command) {
  auto options = std::make_shared<Options>();
  CLI::App* cmd = add_command(
      app, "bench", "Speed and memory of an artifact, against the same model in float",
      {"bench qwen-w4a8", "bench qwen-w4a8 --picture 448x448 --picture 448x448 --text 200 --json b.json",
       "bench qwen-w4a8 --variants msq,msq+aifs --repeat 11 --threads 1"},
      "0 done, 2 usage, 3 bad input, 4 unsupported, 5 disk or memory, 130 interrupted");
  cmd->add_option("ARTIFACT", options->artifact, "Directory of an artifact")->required()->type_name("DIR");
  cmd->add_option("--variants", options->names, cat("Some of ", join(variant_names(), ","), "; default: all"))
      ->type_name("LIST")
      ->delimiter(',')
      ->check(one_of(variant_names()));
  cmd->add_option("--repeat", options->repetitions, "Repetitions; the medians count")
      ->type_name("N")
      ->check(at_least(1))
      ->capture_default_str();
  add_workload_options(*cmd, *options);
  cmd->add_option("--bfloat16-limit", options->bfloat16_seconds,
                  "Seconds for each phase of bfloat16, which is slow without instructions for it")
      ->type_name("S")
      ->check(CLI::Validator(CLI::NonNegativeNumber).description(""))
      ->capture_default_str();
  add_json_option(*cmd, options->json);
  cmd->callback([options, &command] {
    command.files = {.used = {options->artifact}, .json = options->json};
    command.job = [options, &command] {
      options->run = command.run;
      run_bench(*options);
    };
  });
}

}  // namespace mquant::cli
