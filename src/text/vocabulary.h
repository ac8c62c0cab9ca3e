// The model of a tokenizer: pieces of text to token ids.  What SentencePiece, BPE and tiktoken files have in common.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace mquant {

using TokenIds = std::vector<std::int64_t>;

/// Ids index arrays; a file that claims more is broken.
inline constexpr std::int64_t kLargestTokenId = (std::int64_t{1} << 22) - 1;

struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};
/// Found by string_view without a copy.
using TextToId = std::unordered_map<std::string, std::int64_t, TextHash, std::equal_to<>>;

class Vocabulary {
 public:
  virtual ~Vocabulary() = default;
  /// Appends the ids of each piece.  Pieces do not influence each other.
  virtual void encode(std::span<const std::string_view> pieces, TokenIds& ids) const = 0;
  /// Appends what the decoders join: the entry of each id, or text where the model has a way of its own.  Ids that no
  /// entry has stand for nothing.
  virtual void decode(std::span<const std::int64_t> ids, std::vector<std::string>& tokens) const;
  /// By the entry as the file writes it.
  virtual std::optional<std::int64_t> id_of(std::string_view entry) const = 0;
  /// The entry as the file writes it; null if there is none.
  virtual const std::string* entry(std::int64_t id) const = 0;
  /// The largest id, plus one.
  virtual std::int64_t size() const = 0;
};

/// Entries by id, with holes.
class Entries {
 public:
  /// @throws Error{input} for an id below 0, above kLargestTokenId or taken.
  void add(std::int64_t id, std::string entry);
  const std::string* find(std::int64_t id) const;
  std::int64_t size() const { return static_cast<std::int64_t>(entries_.size()); }

 private:
  std::vector<std::optional<std::string>> entries_;
};

}  // namespace mquant
