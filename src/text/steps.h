// The steps around a vocabulary: what is done to text before it is encoded, and to tokens when they are decoded.
// Each is a component of HuggingFace's tokenizer.json and does what that library does.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/regex.h"
#include "text/unicode.h"

namespace mquant {

/// Texts may grow under normalization, but not without bound.
inline constexpr std::size_t kLongestNormalized = std::size_t{64} << 20;

// --- text to text ---

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  virtual std::string apply(std::string text) const = 0;
};

std::unique_ptr<Normalizer> normal_form(NormalForm form);
/// Each match becomes `content`.
std::unique_ptr<Normalizer> replace(Pattern pattern, std::string content);
/// Puts `text` in front, except in front of nothing.
std::unique_ptr<Normalizer> prepend(std::string text);

// --- text to words ---

/// Words as views, and the texts that they view where these are not the caller's.
struct Words {
  std::vector<std::string_view> views;
  std::deque<std::string> owned;
};

class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  /// Appends the parts of one word, empty ones left out.  `at_start`: the whole text begins with it.
  virtual void split(std::string_view word, bool at_start, Words& words) const = 0;
};

/// What becomes of the matches of a pattern.
enum class SplitBehavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

/// `invert`: what lies between matches is a match, and the other way round.
std::unique_ptr<PreTokenizer> split_at(Pattern pattern, SplitBehavior behavior, bool invert);
/// Numbers apart from the rest; `individual`: one word for each digit.
std::unique_ptr<PreTokenizer> digits(bool individual);
/// A blank in front of each word that has none, then GPT-2's pattern if `use_regex`.
std::unique_ptr<PreTokenizer> byte_level(bool add_prefix_space, bool use_regex);
/// Where a word that does not begin with Metaspace's mark gets one.
enum class PrependScheme { first, always, never };
/// Blanks become `mark` ("▁"), and each begins a word if `split`.
std::unique_ptr<PreTokenizer> metaspace(std::string mark, PrependScheme scheme, bool split);

// --- tokens to text ---

class Decoder {
 public:
  virtual ~Decoder() = default;
  virtual std::vector<std::string> apply(std::vector<std::string> tokens) const = 0;
};

/// Characters of the byte alphabet become bytes; all tokens become one text, with U+FFFD for what is not UTF-8.
std::unique_ptr<Decoder> decode_byte_level();
/// Tokens are bytes; the rest as decode_byte_level.
std::unique_ptr<Decoder> decode_bytes();
/// Runs of "<0xE4>" become the characters that they spell, or as many U+FFFD.
std::unique_ptr<Decoder> decode_byte_fallback();
std::unique_ptr<Decoder> decode_fuse();
/// Each `mark` becomes a blank; `prepended`: those of the first token become nothing.
std::unique_ptr<Decoder> decode_metaspace(std::string mark, bool prepended);
std::unique_ptr<Decoder> decode_replace(Pattern pattern, std::string content);
/// Takes up to `start` characters `content` from the front of each token and up to `stop` from its end.
std::unique_ptr<Decoder> decode_strip(char32_t content, std::size_t start, std::size_t stop);

}  // namespace mquant
