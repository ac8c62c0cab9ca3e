// Log lines through spdlog.  The only file that sees it; see include/mquant/log.h for why.
#include "mquant/log.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "mquant/error.h"
#include "support/console.h"
#include "support/strings.h"

namespace mquant {
namespace {

bool is_terminal() {
  const char* const term = std::getenv("TERM");
  return isatty(STDERR_FILENO) == 1 && term != nullptr && std::strcmp(term, "dumb") != 0;
}

/// Columns and rows of the terminal, less one each: what fills it would scroll.
struct Room {
  std::size_t columns = 79, rows = 23;
};

Room room() {
  winsize window{};
  const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 1 && window.ws_row > 1;
  return known ? Room{window.ws_col - 1U, window.ws_row - 1U} : Room{};
}

class ConsoleSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  std::atomic<ProgressStyle> progress_style = ProgressStyle::automatic;

  void set_status(std::string_view text) {
    const std::lock_guard lock(mutex_);
    const std::string before = erased();
    status_.clear();
    if (!text.empty())
      for (const std::string& line : split(text, '\n')) status_.push_back(printable(line, line.size()));
    write(before + drawn());
  }

  void write_line(std::string_view line) {
    const std::lock_guard lock(mutex_);
    put(line);
  }

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    const std::string_view text(message.payload.data(), message.payload.size());
    if (progress_style == ProgressStyle::json) {
      const auto level = spdlog::level::to_string_view(message.level);
      put(cat(R"({"event": "log", "level": ")", std::string_view(level.data(), level.size()),
              R"(", "message": )", console::json_string(text), "}"));
    } else {
      put(cat(prefix(message.level), text));
    }
  }
  void flush_() override {}

 private:
  static std::string prefix(spdlog::level::level_enum level) {
    const bool colored = is_terminal() && std::getenv("NO_COLOR") == nullptr;
    switch (level) {
      case spdlog::level::debug: return colored ? "\033[2mdebug:\033[m " : "debug: ";
      case spdlog::level::warn: return colored ? "\033[1;33mwarning:\033[m " : "warning: ";
      case spdlog::level::err:
        return colored ? "mquant: \033[1;31merror:\033[m " : std::string(console::kErrorPrefix);
      default: return "";
    }
  }

  void put(std::string_view line) {
    const std::string before = erased();
    write(cat(before, line, "\n", drawn()));
  }

  /// All at once, so that a terminal shows no half of it.
  static void write(const std::string& text) {
    std::fwrite(text.data(), 1, text.size(), stderr);
    std::fflush(stderr);
  }

  std::string erased() {
    const std::string up = lines_ > 1 ? cat("\033[", lines_ - 1, "A") : "";
    return std::exchange(lines_, 0) > 0 ? up + "\r\033[J" : "";
  }

  std::string drawn() {
    if (status_.empty()) return "";
    const auto [columns, rows] = room();
    lines_ = std::min(status_.size(), rows);
    std::string text;
    for (std::size_t i = 0; i < lines_; ++i)
      text += cat(i == 0 ? "\r" : "\n\r", std::string_view(status_[i]).substr(0, columns));
    return text;
  }

  std::vector<std::string> status_;
  std::size_t lines_ = 0;  // of it, on the terminal
};

/// The logger and its console; made on first use, never destroyed, so that destructors may log.
struct Log {
  std::shared_ptr<ConsoleSink> console = std::make_shared<ConsoleSink>();
  std::mutex changing;
  std::atomic<std::shared_ptr<spdlog::logger>> logger = std::make_shared<spdlog::logger>("mquant", console);
};

Log& log() {
  static Log& log = *new Log;
  return log;
}

void write(spdlog::level::level_enum level, std::string_view message) {
  log().logger.load()->log(level, spdlog::string_view_t(message.data(), message.size()));
}

spdlog::level::level_enum spdlog_level(LogLevel level) {
  switch (level) {
    case LogLevel::debug: return spdlog::level::debug;
    case LogLevel::info: return spdlog::level::info;
    case LogLevel::warn: return spdlog::level::warn;
    case LogLevel::error: return spdlog::level::err;
    case LogLevel::off: return spdlog::level::off;
  }
  return spdlog::level::info;
}

}  // namespace

void set_log_level(LogLevel level) { log().logger.load()->set_level(spdlog_level(level)); }

void set_progress_style(ProgressStyle style) { log().console->progress_style = style; }

void set_log_file(const std::string& path) {
  const std::lock_guard lock(log().changing);
  try {
    auto file = std::make_shared<spdlog::sinks::basic_file_sink_mt>(path);
    file->set_pattern("%Y-%m-%d %H:%M:%S.%e %l %v");
    // A new logger: the sinks of one in use must not change.
    const std::shared_ptr<spdlog::logger> old = log().logger.load();
    auto sinks = old->sinks();
    sinks.push_back(std::move(file));
    auto logger = std::make_shared<spdlog::logger>("mquant", sinks.begin(), sinks.end());
    logger->set_level(old->level());
    logger->flush_on(spdlog::level::trace);  // what was said before a crash is what matters
    log().logger.store(std::move(logger));
  } catch (const spdlog::spdlog_ex&) {
    fail(ErrorKind::resources, "cannot open the log file '", path, "': ", std::strerror(errno));
  }
}

// Names in messages come from files of others: none makes a second line, or sends the terminal a command.
void debug(std::string_view message) { write(spdlog::level::debug, one_line(message)); }
void info(std::string_view message) { write(spdlog::level::info, one_line(message)); }
void warn(std::string_view message) { write(spdlog::level::warn, one_line(message)); }

void log_error(std::string_view message, std::string_view hint) {
  const std::string line = one_line(message);
  write(spdlog::level::err,
        hint.empty() ? line : cat(line, "\n", console::kHintPrefix, printable(hint, hint.size())));
}

console::Style console::style() {
  switch (log().console->progress_style) {
    case ProgressStyle::automatic: return is_terminal() ? Style::status_line : Style::plain;
    case ProgressStyle::plain: return Style::plain;
    case ProgressStyle::json: return Style::json;
    case ProgressStyle::none: break;
  }
  return Style::none;
}

bool console::shows(LogLevel level) { return log().logger.load()->should_log(spdlog_level(level)); }
std::size_t console::rows() { return room().rows; }
void console::set_status(std::string_view text) { log().console->set_status(text); }
void console::write_line(std::string_view line) { log().console->write_line(line); }

std::string console::json_string(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      quoted += "\\u00";
      quoted += "0123456789abcdef"[byte >> 4];
      quoted += "0123456789abcdef"[byte & 15];
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

}  // namespace mquant
