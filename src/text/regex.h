// Regular expressions as HuggingFace's tokenizers run them: Oniguruma, its default syntax, UTF-8.  Properties such as
// \p{L} are those of the installed Oniguruma's Unicode (6.9.8: 14.0); characters younger than that are unassigned.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace mquant {

/// A stretch of a text: [begin, end) in bytes.
struct Span {
  std::size_t begin = 0, end = 0;
};

class Regex {
 public:
  /// @throws Error{unsupported} for a pattern that does not compile or is longer than 4096 bytes.
  explicit Regex(std::string pattern);
  ~Regex();
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;

  const std::string& pattern() const { return pattern_; }

  /// Appends all matches from left to right, none overlapping; an empty match right behind another is left out.
  ///
  /// @param text  valid UTF-8
  /// @throws Error{input} if one search backtracks more than 10 million times plus 64 for each byte, or needs a
  ///         stack of more than 2^24 entries: a pattern like (a+)+b on the wrong text.
  void find_all(std::string_view text, std::vector<Span>& matches) const;

 private:
  struct Compiled;
  std::string pattern_;
  std::unique_ptr<Compiled> compiled_;
};

/// What Split and Replace look for: this very text (not empty), or an expression.
using Pattern = std::variant<std::string, Regex>;
void find_all(std::string_view text, const Pattern& pattern, std::vector<Span>& matches);

}  // namespace mquant
