// Progress of a long job; where and how it shows is the console's.
#include <algorithm>
#include <utility>

#include "mquant/error.h"
#include "support/console.h"
#include "support/strings.h"

namespace mquant {
namespace {

using console::Style;
using std::chrono::duration;

constexpr duration<double> kRedraw{0.1}, kPlainLine{5}, kJsonLine{1};

duration<double> interval(Style style) {
  if (style == Style::status_line) return kRedraw;
  return style == Style::json ? kJsonLine : kPlainLine;
}

std::string fixed(duration<double> time) {
  const auto milliseconds = static_cast<std::int64_t>(time.count() * 1e3);
  std::string fraction = std::to_string(1000 + milliseconds % 1000);
  fraction[0] = '.';
  return std::to_string(milliseconds / 1000) + fraction;
}

}  // namespace

Progress::Progress(std::string phase, std::int64_t total)
    : phase_(std::move(phase)), total_(total), start_(std::chrono::steady_clock::now()), shown_(start_) {
  if (console::style() == Style::status_line) show(false);
}

Progress::~Progress() {
  if (console::style() == Style::status_line) console::set_status("");
}

void Progress::advance(std::int64_t steps, std::string_view note) {
  const bool was_unfinished = done_ < total_;
  done_ += steps;
  note_ = note;
  const bool last = was_unfinished && done_ >= total_;
  if (last || std::chrono::steady_clock::now() - shown_ >= interval(console::style())) show(last);
}

void Progress::show(bool last) {
  shown_ = std::chrono::steady_clock::now();
  const Style style = console::style();
  const duration<double> elapsed = shown_ - start_;
  const std::int64_t left = std::max<std::int64_t>(total_ - done_, 0);
  const duration<double> eta =
      done_ > 0 ? elapsed * (static_cast<double>(left) / static_cast<double>(done_)) : elapsed * 0;

  if (style == Style::json) {
    console::write_line(cat(R"({"event": "progress", "phase": )", console::json_string(phase_),
                            R"(, "done": )", done_, R"(, "total": )", total_, R"(, "elapsed_s": )",
                            fixed(elapsed), R"(, "eta_s": )", done_ > 0 ? fixed(eta) : "null",
                            R"(, "note": )", console::json_string(note_), "}"));
    return;
  }
  if (style == Style::none || !console::shows(LogLevel::info)) return;
  if (last) {
    if (style == Style::status_line) console::set_status("");
    info(cat(phase_, ": ", done_, "/", total_, " in ", human_duration(elapsed)));
    return;
  }
  const std::string line = cat(phase_, ": ", done_, "/", total_, note_.empty() ? "" : " ", note_,
                               done_ > 0 ? cat(", ", human_duration(eta), " left") : "");
  if (style == Style::status_line) {
    console::set_status(line);
  } else {
    info(line);
  }
}

}  // namespace mquant
