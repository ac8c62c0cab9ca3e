// mquant verify: does an artifact hold what its manifest says?
#include <filesystem>
#include <nlohmann/json.hpp>

#include "command.h"
#include "mquant/artifact.h"
#include "mquant/error.h"
#include "mquant/family.h"
#include "mquant/log.h"
#include "support/strings.h"
#include "support/table.h"

namespace mquant::cli {
namespace {

/// What cannot even be read is a problem like others.
VerifyReport reopened(const std::filesystem::path& directory) {
  try {
    const Config config = Config::open(directory / "config.json");
    return verify_artifact(directory, find_family(config).describe(config));
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::input && error.kind() != ErrorKind::unsupported) throw;
    return {.problems = {error.what()}};
  }
}

void run_verify(const std::filesystem::path& directory, const std::string& json) {
  if (!Artifact::is_artifact(directory)) {
    fail(ErrorKind::input, "'", directory.string(),
         "' is not an artifact of mquant: it has no mquant_manifest.json");
  }
  const VerifyReport report = reopened(directory);
  for (const std::string& warning : report.warnings) warn(warning);
  std::string screen;
  for (const std::string& problem : report.problems) screen += problem + "\n";
  if (report.problems.empty()) {
    screen = cat("OK: ", counted(report.tensors, "tensor"), ", ", counted(report.linears, "quantized linear"),
                 ", ", human_bytes(static_cast<std::uint64_t>(report.bytes)), "\n");
  }
  print(screen,
        {{"ok", report.problems.empty()},
         {"tensors", report.tensors},
         {"linears", report.linears},
         {"bytes", report.bytes},
         {"problems", report.problems},
         {"warnings", report.warnings}},
        json);
  if (!report.problems.empty()) {
    fail(ErrorKind::verification, "'", directory.string(),
         "': ", counted(static_cast<std::int64_t>(report.problems.size()), "problem"));
  }
}

}  // namespace

void add_verify(CLI::App& app, Command& command) {
  struct Options {
    std::string artifact, json;
  };
  auto options = std::make_shared<Options>();
  CLI::App* cmd = add_command(
      app, "verify", "Reopen an artifact: every name, shape, range, scale and digest",
      {"verify qwen-w4a8", "verify qwen-w4a8 --json problems.json"},
      "0 it holds what its manifest says, 2 usage, 3 not an artifact, 6 problems found, 130 interrupted");
  cmd->add_option("ARTIFACT", options->artifact, "Directory that `mquant export` wrote")
      ->required()
      ->type_name("DIR");
  add_json_option(*cmd, options->json);
  cmd->callback([options, &command] {
    command.files = {.used = {options->artifact}, .json = options->json};
    command.job = [options] { run_verify(options->artifact, options->json); };
  });
}

}  // namespace mquant::cli
