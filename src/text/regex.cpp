#include "text/regex.h"

#include <oniguruma.h>

#include <array>
#include <mutex>

#include "io/json_text.h"
#include "mquant/error.h"
#include "text/unicode.h"

namespace mquant {
namespace {

constexpr std::size_t kLongestPattern = 4096;
constexpr unsigned long kRetries = 10'000'000;  // Oniguruma's own default for one match
constexpr unsigned long kRetriesPerByte =
    64;  // a search tries every start: that alone is no sign of a bad pattern
constexpr unsigned int kStackEntries = 1U << 24;

const OnigUChar* bytes(const char* text) { return reinterpret_cast<const OnigUChar*>(text); }

void initialize_once() {
  static std::once_flag once;
  std::call_once(once, [] {
    OnigEncoding encodings[] = {ONIG_ENCODING_UTF8};
    require(onig_initialize(encodings, 1) == ONIG_NORMAL, "regular expressions cannot be initialized");
  });
}

std::string reason(int code, OnigErrorInfo* details = nullptr) {
  std::array<OnigUChar, ONIG_MAX_ERROR_MESSAGE_LEN> text{};
  const int length = details ? onig_error_code_to_str(text.data(), code, details)
                             : onig_error_code_to_str(text.data(), code);
  return printable({reinterpret_cast<const char*>(text.data()), static_cast<std::size_t>(length)});
}

struct FreeRegion {
  void operator()(OnigRegion* region) const { onig_region_free(region, 1); }
};
struct FreeParam {
  void operator()(OnigMatchParam* param) const { onig_free_match_param(param); }
};

/// One pass over one text, with its limits.
class Search {
 public:
  Search(OnigRegex regex, std::string_view text)
      : regex_(regex), text_(text), region_(onig_region_new()), param_(onig_new_match_param()) {
    if (!region_ || !param_) fail(ErrorKind::resources, "no memory for a regular expression");
    onig_initialize_match_param(param_.get());
    onig_set_retry_limit_in_match_of_match_param(param_.get(), kRetries);
    onig_set_retry_limit_in_search_of_match_param(param_.get(), kRetries + kRetriesPerByte * text.size());
    onig_set_match_stack_limit_size_of_match_param(param_.get(), kStackEntries);
  }

  /// The leftmost match that begins at `from` or later.
  bool next(std::size_t from, Span& match) {
    const OnigUChar *begin = bytes(text_.data()), *end = begin + text_.size();
    const int at = onig_search_with_param(regex_, begin, end, begin + from, end, region_.get(),
                                          ONIG_OPTION_NONE, param_.get());
    if (at == ONIG_MISMATCH) return false;
    if (at < 0) fail(ErrorKind::input, "a search in ", text_.size(), " bytes was given up: ", reason(at));
    match = {static_cast<std::size_t>(region_->beg[0]), static_cast<std::size_t>(region_->end[0])};
    return true;
  }

 private:
  OnigRegex regex_;
  std::string_view text_;
  std::unique_ptr<OnigRegion, FreeRegion> region_;
  std::unique_ptr<OnigMatchParam, FreeParam> param_;
};

}  // namespace

struct Regex::Compiled {
  OnigRegex regex = nullptr;
  ~Compiled() {
    if (regex) onig_free(regex);
  }
};

Regex::Regex(std::string pattern) : pattern_(std::move(pattern)), compiled_(std::make_unique<Compiled>()) {
  initialize_once();
  if (pattern_.size() > kLongestPattern) {
    fail(ErrorKind::unsupported, "a regular expression of ", pattern_.size(), " bytes; expected at most ",
         kLongestPattern);
  }
  OnigErrorInfo details{};
  const OnigUChar* begin = bytes(pattern_.data());
  const int code = onig_new(&compiled_->regex, begin, begin + pattern_.size(), ONIG_OPTION_NONE,
                            ONIG_ENCODING_UTF8, ONIG_SYNTAX_DEFAULT, &details);
  if (code != ONIG_NORMAL) {
    compiled_->regex = nullptr;
    fail(ErrorKind::unsupported, "regular expression '", printable(pattern_), "': ", reason(code, &details));
  }
}

Regex::~Regex() = default;
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;

void Regex::find_all(std::string_view text, std::vector<Span>& matches) const {
  if (text.empty()) return;  // as in the reference, also for patterns that match nothing
  in_context("regular expression '" + printable(pattern_) + "'", [&] {
    Search search(compiled_->regex, text);
    std::size_t from = 0, last_end = std::string_view::npos;
    Span match;
    while (from <= text.size() && search.next(from, match)) {
      if (match.begin == match.end && match.end == last_end) {
        if (from == text.size()) break;
        next_character(text, from);
        continue;
      }
      matches.push_back(match);
      from = last_end = match.end;
    }
  });
}

void find_all(std::string_view text, const Pattern& pattern, std::vector<Span>& matches) {
  if (const auto* regex = std::get_if<Regex>(&pattern)) return regex->find_all(text, matches);
  const auto& literal = std::get<std::string>(pattern);
  for (std::size_t at = text.find(literal); at != text.npos; at = text.find(literal, at + literal.size())) {
    matches.push_back({at, at + literal.size()});
  }
}

}  // namespace mquant
