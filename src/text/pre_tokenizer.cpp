#include <algorithm>

#include "text/steps.h"

namespace mquant {
namespace {

/// A match, or what lies between two.
struct Part {
  Span span;
  bool match;
};

std::vector<Part> parts_of(std::string_view text, const std::vector<Span>& matches) {
  std::vector<Part> parts;
  parts.reserve(2 * matches.size() + 1);
  std::size_t done = 0;
  for (const Span match : matches) {
    if (done != match.begin) parts.push_back({{done, match.begin}, false});
    parts.push_back({match, true});
    done = match.end;
  }
  if (done != text.size()) parts.push_back({{done, text.size()}, false});
  return parts;
}

/// Joins a part to its neighbour where `joins(part, the one before it)`.
template <class Joins>
std::vector<Span> joined(const std::vector<Part>& parts, const Joins& joins) {
  std::vector<Span> spans;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i > 0 && joins(parts[i], parts[i - 1]))
      spans.back().end = parts[i].span.end;
    else
      spans.push_back(parts[i].span);
  }
  return spans;
}

std::vector<Span> arranged(const std::vector<Part>& parts, SplitBehavior behavior) {
  switch (behavior) {
    case SplitBehavior::merged_with_previous:
      return joined(parts, [](const Part& part, const Part& before) { return part.match && !before.match; });
    case SplitBehavior::merged_with_next:
      return joined(parts, [](const Part& part, const Part& before) { return before.match && !part.match; });
    case SplitBehavior::contiguous:
      return joined(parts, [](const Part& part, const Part& before) { return part.match == before.match; });
    default: break;
  }
  std::vector<Span> spans;
  for (const Part& part : parts) {
    if (!part.match || behavior == SplitBehavior::isolated) spans.push_back(part.span);
  }
  return spans;
}

void append(std::string_view text, const std::vector<Span>& spans, Words& words) {
  for (const Span span : spans) {
    if (span.begin < span.end) words.views.push_back(text.substr(span.begin, span.end - span.begin));
  }
}

class SplitStep final : public PreTokenizer {
 public:
  SplitStep(Pattern pattern, SplitBehavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}

  void split(std::string_view word, bool /*at_start*/, Words& words) const override {
    std::vector<Span> matches;
    find_all(word, pattern_, matches);
    std::vector<Part> parts = parts_of(word, matches);
    for (Part& part : parts) part.match = part.match != invert_;
    append(word, arranged(parts, behavior_), words);
  }

 private:
  Pattern pattern_;
  SplitBehavior behavior_;
  bool invert_;
};

class Digits final : public PreTokenizer {
 public:
  explicit Digits(bool individual) : individual_(individual) {}

  void split(std::string_view word, bool /*at_start*/, Words& words) const override {
    std::size_t begin = 0;
    bool in_number = false;
    for (std::size_t at = 0; at < word.size();) {
      const std::size_t start = at;
      const bool numeric = is_numeric(next_character(word, at));
      if (start > begin && (numeric != in_number || (numeric && individual_))) {
        words.views.push_back(word.substr(begin, start - begin));
        begin = start;
      }
      in_number = numeric;
    }
    if (begin < word.size()) words.views.push_back(word.substr(begin));
  }

 private:
  bool individual_;
};

class ByteLevel final : public PreTokenizer {
 public:
  ByteLevel(bool add_prefix_space, bool use_regex) : add_prefix_space_(add_prefix_space) {
    if (use_regex)
      pattern_.emplace(R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)");
  }

  void split(std::string_view word, bool /*at_start*/, Words& words) const override {
    if (add_prefix_space_ && !word.empty() && word[0] != ' ') {
      word = words.owned.emplace_back(std::string(1, ' ').append(word));
    }
    if (pattern_) {
      std::vector<Span> matches;
      pattern_->find_all(word, matches);
      append(word, arranged(parts_of(word, matches), SplitBehavior::isolated), words);
    } else if (!word.empty()) {
      words.views.push_back(word);
    }
  }

 private:
  bool add_prefix_space_;
  std::optional<Regex> pattern_;
};

class Metaspace final : public PreTokenizer {
 public:
  Metaspace(std::string mark, PrependScheme scheme, bool split)
      : mark_(std::move(mark)), scheme_(scheme), split_(split) {}

  void split(std::string_view word, bool at_start, Words& words) const override {
    std::string marked;
    for (const char c : word) c == ' ' ? marked += mark_ : marked += c;
    const bool prepends = scheme_ == PrependScheme::always || (scheme_ == PrependScheme::first && at_start);
    if (prepends && !marked.starts_with(mark_)) marked.insert(0, mark_);
    const std::string_view text = words.owned.emplace_back(std::move(marked));
    std::vector<Span> matches;
    if (split_) find_all(text, mark_, matches);
    append(text, arranged(parts_of(text, matches), SplitBehavior::merged_with_next), words);
  }

 private:
  std::string mark_;
  PrependScheme scheme_;
  bool split_;
};

}  // namespace

std::unique_ptr<PreTokenizer> split_at(Pattern pattern, SplitBehavior behavior, bool invert) {
  return std::make_unique<SplitStep>(std::move(pattern), behavior, invert);
}
std::unique_ptr<PreTokenizer> digits(bool individual) { return std::make_unique<Digits>(individual); }
std::unique_ptr<PreTokenizer> byte_level(bool add_prefix_space, bool use_regex) {
  return std::make_unique<ByteLevel>(add_prefix_space, use_regex);
}
std::unique_ptr<PreTokenizer> metaspace(std::string mark, PrependScheme scheme, bool split) {
  return std::make_unique<Metaspace>(std::move(mark), scheme, split);
}

}  // namespace mquant
