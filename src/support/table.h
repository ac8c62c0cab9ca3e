// Plain text tables: columns as wide as their widest cell, two spaces apart.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mquant {

class Table {
 public:
  enum class Align { left, right };
  struct Column {
    std::string title;
    Align align = Align::left;
  };

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
  /// As many cells as columns; a cell that is missing is empty.
  void row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  bool empty() const { return rows_.empty(); }
  /// Titles and rows, each line begun by `indent` spaces, without blanks at the end.
  std::string text(int indent = 0) const;
  /// The same as a table of Markdown.
  std::string markdown() const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

/// "6,240,000".
std::string grouped(std::int64_t number);
/// "640", "6.24 M", "7.62 B".
std::string human_count(std::int64_t number);
/// With `digits` after the point; "-" for what is not finite.
std::string fixed(double number, int digits);
/// "3.9e-15".
std::string scientific(double number);
/// "1 sample", "3 samples".
std::string counted(std::int64_t number, const std::string& noun);

}  // namespace mquant
