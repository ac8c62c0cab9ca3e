#include "zoo/stage_run.h"

#include <signal.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "io/json_text.h"
#include "mquant/error.h"
#include "support/console.h"
#include "support/strings.h"
#include "support/timer.h"

namespace mquant::zoo {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kGrace{30};  // between being asked to stop and being killed, after a timeout
constexpr std::size_t kKeptLines = 30, kLongestLine = 1000;

double number(const Json& event, const char* key) {
  const auto found = event.find(key);
  return found != event.end() && found->is_number() ? found->get<double>() : 0;
}

std::string text(const Json& event, const char* key) {
  const auto found = event.find(key);
  return found != event.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace

StageRun::StageRun(ZooStage& stage, std::ostream& log, StageRunOptions options)
    : stage_(stage), log_(log), options_(std::move(options)) {
  stage_.state = StageState::running;
  stage_.error.clear();
  stage_.figures.clear();
  stage_.last_lines.clear();
  stage_.exit_code = stage_.signal = 0;
  stage_.seconds = 0;
  stage_.peak_bytes = 0;
  start();
}

void StageRun::start() {
  std::vector<std::string> words = {"mquant"};
  const std::vector<std::string>& command = stage_.commands[command_];
  words.insert(words.end(), command.begin(), command.end());
  words.insert(words.end(), {"--device", options_.device, "--threads", std::to_string(options_.threads),
                             "--progress", "json", "--log-level", "info"});
  log_line("$ " + command_line(words));
  printed_.emplace_back();
  child_.emplace(options_.program, words);
}

void StageRun::log_line(const std::string& line) {
  keep_line(line);
  // What was said before a crash is what matters.
  log_ << time_of_day("%Y-%m-%d %H:%M:%S") << " " << stage_.name << ": " << line << std::endl;
}

void StageRun::keep_line(const std::string& line) {
  stage_.last_lines.push_back(printable(line, kLongestLine));
  if (stage_.last_lines.size() > kKeptLines) stage_.last_lines.erase(stage_.last_lines.begin());
}

void StageRun::read(ChildProcess::Stream stream) {
  child_->read(stream, [&](const std::string& line) {
    if (stream == ChildProcess::err) return take_message(line);
    printed_.back() += line + "\n";
  });
}

void StageRun::take_message(const std::string& line) {
  const Json event = Json::parse(line, nullptr, false);
  if (event.is_object() && text(event, "event") == "progress") {
    StageProgress& progress = stage_.progress;
    progress = {.phase = text(event, "phase"),
                .note = text(event, "note"),
                .done = static_cast<std::int64_t>(number(event, "done")),
                .total = static_cast<std::int64_t>(number(event, "total")),
                .eta_seconds = {}};
    if (event.contains("eta_s") && event["eta_s"].is_number()) progress.eta_seconds = number(event, "eta_s");
    if (progress.done == progress.total)
      log_line(cat(progress.phase, ": ", progress.done, "/", progress.total, " in ",
                   human_duration(std::chrono::duration<double>(number(event, "elapsed_s")))));
    return;
  }
  if (!event.is_object() || text(event, "event") != "log") {
    if (line.empty()) return;
    log_line(printable(line, line.size()));
    // Before the command line is read, messages are plain.
    if (line.starts_with(console::kErrorPrefix))
      errors_.push_back(printable(line.substr(console::kErrorPrefix.size()), kLongestLine));
    else if (line != console::kStopping && !line.starts_with(console::kHintPrefix))
      last_words_ = line;
    return;
  }
  const std::string message = text(event, "message"), level = text(event, "level");
  log_line(level == "info" ? message : cat(level, ": ", message));
  const std::string hint = cat("\n", console::kHintPrefix);
  if (level == "error") errors_.push_back(message.substr(0, message.find(hint)));
}

bool StageRun::step() {
  if (const std::optional<Exit> exit = child_->ended()) return ended(*exit);
  stage_.seconds = before_ + child_->seconds();
  if (options_.timeout.count() > 0 && !timed_out_ && stage_.seconds > options_.timeout.count()) {
    timed_out_ = true;
    asked_ = Clock::now();
    child_->signal(SIGINT);
  }
  if (timed_out_ && Clock::now() - asked_ > kGrace) child_->signal(SIGKILL);
  return false;
}

void StageRun::interrupt() {
  interrupted_ = true;
  child_->signal(SIGINT);
}

bool StageRun::ended(const Exit& exit) {
  before_ += exit.seconds;
  stage_.seconds = before_;
  stage_.exit_code = exit.code;
  stage_.signal = exit.signal;
  stage_.peak_bytes = std::max(stage_.peak_bytes, exit.peak_bytes);
  stage_.progress = {};
  const bool well = exit.code == 0 && exit.signal == 0;
  if (const std::string& screen = printed_.back(); !screen.empty() && screen[0] != '{') {
    log_ << screen;
    for (const std::string& line : split(screen.substr(0, screen.size() - 1), '\n')) keep_line(line);
  }
  log_line(well               ? cat("done in ", human_duration(std::chrono::duration<double>(exit.seconds)))
           : exit.signal != 0 ? cat("ended by ", strsignal(exit.signal))
                              : cat("exit code ", exit.code));
  if (well) ++command_;
  const bool last = command_ == stage_.commands.size();
  if (well && !last && !interrupted_ && !timed_out_) {
    start();
    return false;
  }
  if (last) {
    stage_.state = StageState::passed;
  } else if (!timed_out_ && (interrupted_ || exit.code == static_cast<int>(ErrorKind::interrupted))) {
    stage_.state = StageState::interrupted;
  } else {
    const bool judged = exit.code == static_cast<int>(ErrorKind::verification) && !timed_out_;
    stage_.state = judged ? StageState::failed : StageState::error;
    stage_.error = why(exit);
  }
  return true;
}

std::string StageRun::why(const Exit& exit) const {
  if (timed_out_)
    return cat("took longer than ", human_duration(options_.timeout), ", the 'timeout' of the zoo file");
  if (exit.signal == SIGKILL) return "killed (SIGKILL): by the system, when memory ran out, or by somebody";
  if (exit.signal != 0)
    return cat("crashed: ", strsignal(exit.signal),
               last_words_.empty() ? "" : cat("; ", printable(last_words_)));
  if (!errors_.empty()) return join(errors_, "; ");
  return last_words_.empty() ? cat("ended with exit code ", exit.code) : printable(last_words_);
}

}  // namespace mquant::zoo
