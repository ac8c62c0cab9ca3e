// stderr as log.cpp and progress.cpp share it: log lines, and on a terminal one status line below them.
#pragma once

#include <string_view>

#include "mquant/log.h"

namespace mquant::console {

/// What lines of stderr begin with: an error, and what to do about it.
inline constexpr std::string_view kErrorPrefix = "mquant: error: ", kHintPrefix = "hint: ";
/// The answer to Ctrl-C, whatever the style.
inline constexpr std::string_view kStopping = "stopping after this step; Ctrl-C again stops at once";

/// What was asked for, with `automatic` resolved: a status line on a terminal, plain lines elsewhere.
enum class Style { status_line, plain, json, none };
Style style();

bool shows(LogLevel level);

/// Replaces the status lines; "" takes them away.  Cut to the width and the height of the terminal.
void set_status(std::string_view text);

/// Lines of the terminal that the status may take.
std::size_t rows();

/// Writes one line as it is, whatever the level; for JSON.
void write_line(std::string_view line);

/// `text` between quotes, escaped.
std::string json_string(std::string_view text);

}  // namespace mquant::console
