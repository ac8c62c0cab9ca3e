// Small text helpers for messages.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mquant {

/// The candidate nearest to `word` by edit distance, for "did you mean"; "" if none is near enough to be meant
/// (more than a third of the longer one's letters differ).  The first of equals wins.
/// Cost: O(candidates * word length * candidate length), so it belongs on error paths only.
std::string nearest(std::string_view word, std::span<const std::string> candidates);

/// "; did you mean 'x'?" or "": for the end of a message.
std::string did_you_mean(std::string_view word, std::span<const std::string> candidates);

/// "0 B", "999 B", "1.5 KiB", "16.0 GiB".
std::string human_bytes(std::uint64_t bytes);

/// Bytes of "12GiB", "800 MB", "512M" (a power of 1024), "1000000"; nullopt for other texts.
std::optional<std::int64_t> parse_bytes(std::string_view text);

/// "850 ms", "12.3 s", "4 min 05 s", "2 h 07 min".
std::string human_duration(std::chrono::duration<double> duration);

/// "[1536, 8960]", "[]".
std::string shape_text(std::span<const std::int64_t> shape);

/// "a,b,,c" at ',' -> {"a", "b", "", "c"}; "" -> {""}.
std::vector<std::string> split(std::string_view text, char separator);

std::string join(std::span<const std::string> parts, std::string_view separator);

/// Text of a file as a message may show it: control characters and what is not UTF-8 escaped (\x1b), the middle left
/// out where it has more than `longest` bytes.
std::string printable(std::string_view text, std::size_t longest = 200);

/// A whole message on one line of bounded length, whatever names of files it holds: printable, word by word.
std::string one_line(std::string_view message);

/// A line for a shell; words are quoted where they must be.
std::string command_line(std::span<const std::string> words);

}  // namespace mquant
