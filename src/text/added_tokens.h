// Tokens that are matched in the text before the model sees it: special ones ("<|im_start|>") and others.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/vocabulary.h"

namespace mquant {

struct AddedToken {
  std::string content;
  std::int64_t id = 0;
  bool special = true;  ///< left out when decoding so; what encode_ordinary does not recognise
  bool normalized =
      false;  ///< matched, its content normalized too, in normalized text; else in the text as it is
  bool lstrip = false;       ///< takes white space before it along
  bool rstrip = false;       ///< takes white space after it along
  bool single_word = false;  ///< not next to a word character
};

/// Which special tokens are recognised; other added tokens always are.
class Recognised {
 public:
  static Recognised all() { return Recognised(Kind::all, {}); }
  /// Special tokens are found, hiding what is inside them, and then taken for text: encode_special_tokens of the
  /// reference.
  static Recognised not_special() { return Recognised(Kind::not_special, {}); }
  /// Special tokens with other ids do not exist: allowed_special of tiktoken.
  static Recognised only(std::vector<std::int64_t> ids) { return Recognised(Kind::listed, std::move(ids)); }

  bool exists(const AddedToken& token) const;
  bool is_text(const AddedToken& token) const { return kind_ == Kind::not_special && token.special; }

 private:
  enum class Kind { all, not_special, listed };
  Recognised(Kind kind, std::vector<std::int64_t> ids) : kind_(kind), ids_(std::move(ids)) {}
  Kind kind_;
  std::vector<std::int64_t> ids_;
};

class AddedTokens {
 public:
  /// A stretch of text, or one added token.
  struct Piece {
    std::string_view text;
    std::int64_t id = -1;  // -1: text
  };
  enum class Stage { raw, normalized };

  AddedTokens() = default;
  /// @param normalize  what the tokenizer does to text, for the tokens that are matched afterwards
  /// @throws Error{input} for two contents with one id or the other way round, and for contents above 1 KiB.
  AddedTokens(std::vector<AddedToken> tokens,
              const std::function<std::string(const std::string&)>& normalize);

  /// Appends the pieces of `text`, empty ones left out: at each place the longest token wins.  The pieces are views.
  void split(std::string_view text, Stage stage, const Recognised& recognised,
             std::vector<Piece>& pieces) const;

  const AddedToken* find(std::string_view content) const;
  const AddedToken* find(std::int64_t id) const;
  const std::vector<AddedToken>& all() const { return tokens_; }
  std::int64_t size() const { return size_; }  // the largest id, plus one; 0: no tokens

 private:
  /// A trie: nodes are numbers, 0 the root.
  struct Trie {
    std::unordered_map<std::uint64_t, std::uint32_t> children;  // by node << 8 | byte
    std::vector<std::int32_t> token{-1};                        // by node: index of the token that ends there
    void add(std::string_view content, std::int32_t token_index);
  };
  const AddedToken* longest_at(const Trie& trie, std::string_view text, std::size_t at,
                               const Recognised& recognised, std::size_t& end) const;

  std::vector<AddedToken> tokens_;
  std::unordered_map<std::int64_t, std::int32_t> by_id_;
  TextToId by_content_;  // index in tokens_
  Trie raw_, normalized_;
  std::int64_t size_ = 0;
};

}  // namespace mquant
