// Text to token ids and back, as the library that a model was trained with does it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/added_tokens.h"
#include "text/vocabulary.h"

namespace mquant {

struct TokenizerParts;

/// Const members may be called from several threads at once.
class Tokenizer {
 public:
  explicit Tokenizer(std::unique_ptr<const TokenizerParts> parts);
  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;

  /// All encoders throw Error{input} for a text that is not UTF-8 or longer than 16 MiB.  Nothing is put around the
  /// ids.  Cost: O(n log n) at worst.

  /// Added tokens are recognised wherever they stand in the text.
  TokenIds encode(std::string_view text) const;
  /// The texts of special tokens are ordinary text.  Added tokens that are not special are still recognised.
  TokenIds encode_ordinary(std::string_view text) const;
  /// Of the special tokens only `allowed` are recognised.  Throws Error{input} if one of them is no added token.
  TokenIds encode(std::string_view text, std::span<const std::string> allowed) const;
  /// As encode, between `before` and `after`.
  TokenIds encode_with_template(std::string_view text) const;
  /// What the post-processor of tokenizer.json puts before a text, such as <s>, and after it.
  const TokenIds& before() const;
  const TokenIds& after() const;

  /// Ids that no token has stand for nothing (vocabularies are padded), as in the reference.  Bytes that are not
  /// UTF-8 become U+FFFD.
  std::string decode(std::span<const std::int64_t> ids, bool skip_special) const;

  /// The id of an added token or of a vocabulary entry as the file writes it.
  std::optional<std::int64_t> find(std::string_view token) const;
  /// The same; throws Error{input} if there is none.
  std::int64_t id_of(std::string_view token) const;
  /// As the file writes it (token bytes, for tiktoken); "" for an id that no token has.
  std::string token_of(std::int64_t id) const;
  bool is_special(std::int64_t id) const;
  /// Contents by id of the added tokens with an id of `first` or more.
  std::map<std::int64_t, std::string> added_beyond(std::int64_t first) const;
  /// The largest id, plus one.
  std::int64_t vocabulary_size() const;
  /// The file, as messages call it.
  const std::string& origin() const;

 private:
  TokenIds encode_recognising(std::string_view text, const Recognised& recognised) const;
  std::unique_ptr<const TokenizerParts> parts_;
};

/// Reads tokenizer.json of `directory`, and the added tokens that the files beside it state: tokenizer_config.json,
/// added_tokens.json, special_tokens_map.json.  "truncation" and "padding" are ignored, as transformers does unless
/// asked.
/// @throws Error{input}        a file is broken, contradicts itself or another; tokenizer.json is absent
///         Error{unsupported}  a component that is not known here, naming it; split_special_tokens, or an
///                             add_prefix_space that contradicts tokenizer.json
Tokenizer open_tokenizer(const std::filesystem::path& directory);
/// tokenizer.json alone, from text; `origin` is what messages call it.
Tokenizer parse_tokenizer(std::string_view json, const std::string& origin);

struct TiktokenOptions {
  std::string pattern;  ///< regular expression of words
  /// Matched in the normalized text; all are special.
  std::vector<std::pair<std::string, std::int64_t>> special_tokens;
  std::vector<std::string> following;  ///< more of them, whose ids count on from the number of ranks
  bool nfc = false;                    ///< texts are normalized to NFC first
};

/// Reads a rank file: "base64(token) rank" a line.
/// @throws Error{input} naming file and line.
Tokenizer open_tiktoken(const std::filesystem::path& file, const TiktokenOptions& options);

/// The id of an AddedToken that goes by its content alone: open_sentencepiece gives it the id of the model's piece of
/// that name, or the next one behind all others.
inline constexpr std::int64_t kIdByContent = -1;

struct SentencePieceOptions {
  /// Matched in the text as it is (`normalized` is not looked at).  One that has the id of a piece renames it.
  std::vector<AddedToken> added;
  std::string bos;  ///< the token that encode_with_template puts in front, such as "<s>"; empty: none
};

/// Reads a model of the SentencePiece library (tokenizer.model).  Text is split at added tokens, and each stretch
/// between them is a text of its own for the model, which may put a blank in front of it.  Control pieces, such as <s>,
/// are found in text only if they are added tokens; alone they decode to nothing.
/// @throws Error{input} the file is absent, broken or larger than 64 MiB; the added tokens contradict each other; there
///         is no token `bos`.
Tokenizer open_sentencepiece(const std::filesystem::path& file, const SentencePieceOptions& options);
/// The same from the bytes of a file; `origin` is what messages call it.
Tokenizer parse_sentencepiece(std::string_view model, const std::string& origin,
                              const SentencePieceOptions& options);

/// The added tokens of a model directory whose tokenizer has no tokenizer.json, as transformers' slow tokenizers know
/// them: "added_tokens_decoder" of tokenizer_config.json or, where it has none, added_tokens.json; then the tokens that
/// it, or else special_tokens_map.json, calls bos_token, additional_special_tokens and so on, with kIdByContent where
/// they are not among the former.  Absent files say nothing.
/// @throws Error{input} naming file and place.
std::vector<AddedToken> read_added_tokens(const std::filesystem::path& directory);

}  // namespace mquant
