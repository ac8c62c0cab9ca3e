#include "support/table.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace mquant {
namespace {

/// Code points of UTF-8 text: bytes that do not continue one.
std::size_t width(const std::string& text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

std::string padded(const std::string& text, std::size_t to, Table::Align align) {
  const std::string blanks(to - std::min(to, width(text)), ' ');
  return align == Table::Align::left ? text + blanks : blanks + text;
}

const std::string& cell(const std::vector<std::string>& row, std::size_t column) {
  static const std::string kEmpty;
  return column < row.size() ? row[column] : kEmpty;
}

/// As Markdown shows it: a bar would end the cell, and what looks like a tag would be one.
std::string escaped(const std::string& text) {
  std::string shown;
  for (const char c : text) {
    if (c == '|') shown += '\\';
    shown += c == '<' ? "&lt;" : std::string(1, c);
  }
  return shown;
}

}  // namespace

std::string Table::text(int indent) const {
  std::vector<std::vector<std::string>> lines(1);
  for (const Column& column : columns_) lines.front().push_back(column.title);
  lines.insert(lines.end(), rows_.begin(), rows_.end());

  std::string text;
  for (const auto& line : lines) {
    std::string row(static_cast<std::size_t>(indent), ' ');
    for (std::size_t c = 0; c < columns_.size(); ++c) {
      std::size_t widest = 0;
      for (const auto& other : lines) widest = std::max(widest, width(cell(other, c)));
      row += (c == 0 ? "" : "  ") + padded(cell(line, c), widest, columns_[c].align);
    }
    row.erase(row.find_last_not_of(' ') + 1);
    text += row + "\n";
  }
  return text;
}

std::string Table::markdown() const {
  std::string head = "|", rule = "|", text;
  for (const Column& column : columns_) {
    head += " " + column.title + " |";
    rule += column.align == Align::left ? " --- |" : " ---: |";
  }
  for (const auto& row : rows_) {
    text += "|";
    for (std::size_t c = 0; c < columns_.size(); ++c) text += " " + escaped(cell(row, c)) + " |";
    text += "\n";
  }
  return head + "\n" + rule + "\n" + text;
}

std::string grouped(std::int64_t number) {
  std::string digits = std::to_string(number);
  const std::size_t first = number < 0 ? 1 : 0;
  for (std::size_t at = digits.size(); at > first + 3;) digits.insert(at -= 3, ",");
  return digits;
}

std::string fixed(double number, int digits) {
  if (!std::isfinite(number)) return "-";
  std::array<char, 512> text{};  // the largest double has 309 digits before the point
  std::snprintf(text.data(), text.size(), "%.*f", digits, number);
  return text.data();
}

std::string scientific(double number) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1e", number);
  return text.data();
}

std::string human_count(std::int64_t number) {
  if (number < 10000) return std::to_string(number);
  static constexpr std::array kUnits = {" k", " M", " B", " T"};
  double value = static_cast<double>(number) / 1e3;
  std::size_t unit = 0;
  for (; value >= 999.5 && unit + 1 < kUnits.size(); ++unit) value /= 1e3;
  return fixed(value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0) + kUnits[unit];
}

std::string counted(std::int64_t number, const std::string& noun) {
  return grouped(number) + " " + noun + (number == 1 ? "" : "s");
}

}  // namespace mquant
