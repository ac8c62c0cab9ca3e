// mquant: reads the command line, runs one job, turns its error into one line and an exit code.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <iostream>
#include <new>
#include <string>
#include <string_view>
#include <system_error>

#include "arguments.h"
#include "command.h"
#include "help.h"
#include "mquant/artifact.h"
#include "mquant/error.h"
#include "mquant/log.h"
#include "process.h"
#include "support/strings.h"

namespace mquant::cli {
namespace {

constexpr const char* kOverview =
    "mquant: an offline W4A8 compiler for multimodal language models\n\n"
    "  mquant inspect   MODEL                                  what it is, what would be quantized\n"
    "  mquant calibrate MODEL --data calib.jsonl --output CAL  everything that needs data; resumable\n"
    "  mquant export    CAL --output ART                       pack it, with manifest and sidecar files\n"
    "  mquant quantize  MODEL --data calib.jsonl --output ART  the two in one\n"
    "  mquant eval      MODEL|CAL|ART --data eval.jsonl        exact match, perplexity, agreement\n"
    "  mquant generate  MODEL|ART --image a.png --prompt TEXT  one answer\n"
    "  mquant forward   MODEL|ART --data s.jsonl --output T    the tensors of a forward pass\n"
    "  mquant verify    ART                                    does it hold what it promises?\n"
    "  mquant bench     ART                                    speed and memory, against float\n"
    "  mquant zoo       ZOO.json --output DIR                  many models, many recipes, with checks\n"
    "  mquant list      families|passes|formats|recipes        what there is\n\n"
    "mquant COMMAND --help has options and examples; mquant --help the options of all commands.\n";

constexpr std::int64_t kMostThreads =
    1024;  // more than the cores of any machine; thousands use up its process table
constexpr const char* kSpins = "2000";  // tens of microseconds: longer than between the loops of one block

constexpr const char* kExitCodes =
    "Exit codes: 0 done, 2 usage, 3 bad input, 4 unsupported, 5 disk or memory, 6 verification failed,\n"
    "            70 a bug of mquant, 130 interrupted\n"
    "Every option here can also be set by a variable: MQUANT_THREADS=4, MQUANT_LOG_LEVEL=debug, ...";

struct Settings {
  std::string log_level = "info", log_file, progress = "auto";
};

/// Options of all commands; they may stand before the command or after it.
void add_settings(CLI::App& app, Settings& settings, RunSettings& run) {
  app.add_option("--threads", run.threads, "Cores to use; 0: all")
      ->type_name("N")
      ->check(integer_from(0, kMostThreads))
      ->envname("MQUANT_THREADS")
      ->capture_default_str();
  app.add_option("--seed", run.seed, "Of rotations and all else that is drawn")
      ->type_name("N")
      ->check(at_least(0))
      ->envname("MQUANT_SEED")
      ->capture_default_str();
  app.add_option("--device", run.device, "Where to compute: cpu")
      ->type_name("NAME")
      ->envname("MQUANT_DEVICE")
      ->capture_default_str();
  app.add_option("--log-level", settings.log_level, "debug, info, warn, error or off")
      ->type_name("LEVEL")
      ->check(one_of({"debug", "info", "warn", "error", "off"}))
      ->envname("MQUANT_LOG_LEVEL")
      ->capture_default_str();
  app.add_option("--log-file", settings.log_file, "Also append every line, with its time, to FILE")
      ->type_name("FILE")
      ->envname("MQUANT_LOG_FILE");
  app.add_option("--progress", settings.progress, "auto, plain, json (one event a line, on stderr) or none")
      ->type_name("STYLE")
      ->check(one_of({"auto", "plain", "json", "none"}))
      ->envname("MQUANT_PROGRESS")
      ->capture_default_str();
}

void apply(const Settings& settings) {
  static const std::map<std::string, LogLevel> kLevels = {{"debug", LogLevel::debug},
                                                          {"info", LogLevel::info},
                                                          {"warn", LogLevel::warn},
                                                          {"error", LogLevel::error},
                                                          {"off", LogLevel::off}};
  static const std::map<std::string, ProgressStyle> kStyles = {{"auto", ProgressStyle::automatic},
                                                               {"plain", ProgressStyle::plain},
                                                               {"json", ProgressStyle::json},
                                                               {"none", ProgressStyle::none}};
  set_log_level(kLevels.at(settings.log_level));
  set_progress_style(kStyles.at(settings.progress));
  if (!settings.log_file.empty()) set_log_file(settings.log_file);
}

/// What to do about an error, or "".
std::string hint(ErrorKind kind, const CLI::App& app, const Command& command, Arguments arguments) {
  if (kind == ErrorKind::usage) {
    const auto parsed = app.get_subcommands();
    return cat("run 'mquant ", parsed.empty() ? "" : parsed.front()->get_name() + " ", "--help'");
  }
  if (kind == ErrorKind::internal) {
    return "this is a bug of mquant; please report it, with the command and its output under --log-level "
           "debug";
  }
  const bool can_go_on = kind == ErrorKind::interrupted || kind == ErrorKind::resources;
  if (std::error_code absent; can_go_on && std::filesystem::exists(command.journal, absent))
    return cat("evaluated samples are kept; continue with: ", command_line(arguments));
  if (!can_go_on || !CalibrationStore::is_calibration(command.calibration)) return "";
  if (std::ranges::find(arguments, "--resume") == arguments.end()) arguments.push_back("--resume");
  return cat("finished blocks are kept; continue with: ", command_line(arguments));
}

void check_stdout() {
  if (!std::cout.flush()) fail(ErrorKind::resources, "cannot write the result to stdout");
}

class Program {
 public:
  explicit Program(Arguments arguments) : arguments_(std::move(arguments)) {
    app_.name("mquant");
    app_.require_subcommand(0, 1);
    app_.fallthrough();
    app_.formatter(std::make_shared<HelpFormatter>());
    app_.get_formatter()->column_width(30);
    app_.set_help_flag("-h,--help", "This text");
    app_.footer(kExitCodes);
    app_.set_version_flag("--version", "mquant " MQUANT_VERSION, "The version");
    add_settings(app_, settings_, command_.run);
    for (const auto add : {add_inspect, add_calibrate, add_export, add_quantize, add_eval, add_generate,
                           add_forward, add_verify, add_bench, add_zoo, add_list}) {
      add(app_, command_);
    }
    refuse_empty_paths(app_);
  }

  int run() {
    try {
      return parse_and_run();
    } catch (const Error& error) {
      return report(error.kind(), error.what());
    } catch (const std::bad_alloc&) {
      return report(ErrorKind::resources, "out of memory");
    } catch (const std::filesystem::filesystem_error& error) {
      const bool names_nothing = error.code() == std::errc::filename_too_long ||
                                 error.code() == std::errc::too_many_symbolic_link_levels;
      return report(names_nothing ? ErrorKind::usage : ErrorKind::resources,
                    cat("'", printable(error.path1().string()), "': ", error.code().message()));
    } catch (const std::system_error& error) {  // a file that vanished, a directory that may not be read
      return report(ErrorKind::resources, error.what());
    } catch (const std::exception& error) {
      return report(ErrorKind::internal, error.what());
    }
  }

 private:
  int parse_and_run() {
    expect_utf8(arguments_);
    Arguments words = normalized(app_, {arguments_.begin() + 1, arguments_.end()});
    std::ranges::reverse(words);  // CLI11 takes them from the back
    try {
      app_.parse(std::move(words));
    } catch (const CLI::Success& asked) {  // --help, --version
      app_.exit(asked);
      check_stdout();
      return 0;
    } catch (const CLI::ParseError& error) {
      fail(ErrorKind::usage, explanation(app_, error));
    }
    command_.files.used.push_back(command_.run.chat_template);
    expect_result_files(command_.files, settings_.log_file);
    apply(settings_);
    if (command_.job == nullptr) {
      std::cout << kOverview;
    } else {
      install_interrupt_handler();
      command_.job();
    }
    check_stdout();
    return command_.exit_code;
  }

  int report(ErrorKind kind, const std::string& message) const {
    log_error(message, hint(kind, app_, command_, arguments_));
    return static_cast<int>(kind);
  }

  Arguments arguments_;
  CLI::App app_{"An offline W4A8 compiler for multimodal language models."};
  Settings settings_;
  Command command_;
};

/// OpenMP's threads wait for the next loop by spinning, for milliseconds unless told otherwise: where other programs want
/// the cores, all wait for a thread that waits.  libgomp reads its settings before main, so the program starts itself
/// again with them, once, for the commands that compute; who has set one of them knows better.
void settle_waiting(int argc, char** argv) {
  static constexpr std::array kComputing = {"calibrate", "quantize", "eval", "generate", "forward", "bench"};
  const auto computes = [](std::string_view word) {
    return std::ranges::find(kComputing, word) != kComputing.end();
  };
  if (std::none_of(argv, argv + argc, computes)) return;
  if (std::getenv("OMP_WAIT_POLICY") != nullptr || std::getenv("GOMP_SPINCOUNT") != nullptr) return;
  setenv("GOMP_SPINCOUNT", kSpins, 1);
  execv("/proc/self/exe", argv);  // comes back only if it cannot; then it is as if it had not been tried
}

}  // namespace
}  // namespace mquant::cli

int main(int argc, char** argv) {
  mquant::cli::prepare_process();
  mquant::cli::settle_waiting(argc, argv);
  return mquant::cli::leave(mquant::cli::Program({argv, argv + argc}).run());
}
