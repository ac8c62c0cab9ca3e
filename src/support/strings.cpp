#include "support/strings.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <numeric>

#include "support/utf8.h"

namespace mquant {
namespace {

constexpr std::size_t kLongestWord = 300, kLongestMessage = 4000;

/// Also the controls of ISO 8859 (C2 80 to C2 9F): a terminal may obey them.
bool is_shown(std::string_view character) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(character[i]); };
  if (character.size() == 1) return byte(0) >= 0x20 && byte(0) != 0x7F;
  return byte(0) != 0xC2 || byte(1) >= 0xA0;
}

bool continues_utf8(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

/// Levenshtein distance, one row at a time.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t above = row[j + 1];
      row[j + 1] = std::min({above + 1, row[j] + 1, diagonal + (a[i] == b[j] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row.back();
}

template <class... Values>
std::string printed(const char* format, Values... values) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), format, values...);
  return text.data();
}

}  // namespace

std::string nearest(std::string_view word, std::span<const std::string> candidates) {
  std::string best;
  std::size_t best_distance = 0;
  for (const std::string& candidate : candidates) {
    const std::size_t longer = std::max(word.size(), candidate.size());
    const std::size_t shorter = std::min(word.size(), candidate.size());
    if ((longer - shorter) * 3 > longer) continue;
    const std::size_t distance = edit_distance(word, candidate);
    if (distance * 3 > longer) continue;
    if (best.empty() || distance < best_distance) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

std::string did_you_mean(std::string_view word, std::span<const std::string> candidates) {
  const std::string found = nearest(word, candidates);
  return found.empty() ? "" : "; did you mean '" + found + "'?";
}

std::string human_bytes(std::uint64_t bytes) {
  if (bytes < 1024) return std::to_string(bytes) + " B";
  static constexpr std::array kUnits = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  for (; value >= 1023.95 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
  return printed("%.1f %s", value, kUnits[unit]);
}

std::optional<std::int64_t> parse_bytes(std::string_view text) {
  static constexpr std::string_view kUnits = "KMGTP";
  constexpr double kMost = 9e18;
  double size = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), size);
  if (error != std::errc{}) return {};
  std::string_view unit = text.substr(static_cast<std::size_t>(stop - text.data()));
  if (unit.starts_with(' ')) unit.remove_prefix(1);
  const std::size_t power = unit.empty() ? std::string_view::npos : kUnits.find(unit[0]);
  if (power != std::string_view::npos) {
    unit.remove_prefix(1);
    const double step = unit == "B" ? 1000 : 1024;
    for (std::size_t i = 0; i <= power; ++i) size *= step;
    if (unit == "iB") unit = {};
  }
  const bool known = unit.empty() || unit == "B";
  return known && size >= 1 && size <= kMost ? std::optional(static_cast<std::int64_t>(size)) : std::nullopt;
}

std::string human_duration(std::chrono::duration<double> duration) {
  const double seconds = std::max(duration.count(), 0.0);
  if (seconds < 0.9995) return printed("%.0f ms", seconds * 1e3);
  if (seconds < 59.95) return printed("%.1f s", seconds);
  const long long whole = std::llround(seconds);
  if (whole < 3600) return printed("%lld min %02lld s", whole / 60, whole % 60);
  return printed("%lld h %02lld min", whole / 3600, whole % 3600 / 60);
}

std::string shape_text(std::span<const std::int64_t> shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + "]";
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (;;) {
    const std::size_t end = text.find(separator);
    parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::string join(std::span<const std::string> parts, std::string_view separator) {
  std::string text;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i != 0) text += separator;
    text += parts[i];
  }
  return text;
}

std::string printable(std::string_view text, std::size_t longest) {
  if (text.size() > longest) {  // both ends, cut between characters
    std::size_t head = longest / 2, tail = text.size() - longest / 2;
    while (head > 0 && continues_utf8(text[head])) --head;
    while (tail < text.size() && continues_utf8(text[tail])) ++tail;
    return printable(text.substr(0, head), longest) + "..." + printable(text.substr(tail), longest);
  }
  std::string shown;
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Sequence sequence = utf8_sequence(text, at);
    const std::string_view character = text.substr(at, sequence.length);
    if (sequence.valid && is_shown(character)) {
      shown += character;
    } else {
      for (const char byte : character) shown += printed("\\x%02x", static_cast<unsigned char>(byte));
    }
    at += sequence.length;
  }
  return shown;
}

std::string one_line(std::string_view message) {
  std::vector<std::string> words = split(message, ' ');
  for (std::string& word : words) word = printable(word, kLongestWord);
  return printable(join(words, " "), kLongestMessage);
}

std::string command_line(std::span<const std::string> words) {
  static const std::string kSafe = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./=:,+@%";
  std::string line;
  for (const std::string& word : words) {
    std::string quoted = word;
    if (word.empty() || word.find_first_not_of(kSafe) != std::string::npos) {
      for (auto at = quoted.find('\''); at != std::string::npos; at = quoted.find('\'', at + 4)) {
        quoted.replace(at, 1, "'\\''");
      }
      quoted = "'" + quoted + "'";
    }
    line += (line.empty() ? "" : " ") + quoted;
  }
  return line;
}

}  // namespace mquant
