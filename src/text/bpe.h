// Byte-pair encoding with a list of merges: the model of HuggingFace's tokenizer.json.
#pragma once

#include <array>
#include <memory>
#include <utility>

#include "text/merge.h"
#include "text/vocabulary.h"

namespace mquant {

struct BpeOptions {
  /// Entries are written in the alphabet of bytes, and a word's symbols are bytes; else characters.
  bool bytes = false;
  bool ignore_merges = false;  ///< a word that is an entry as a whole is taken as it is
  bool byte_fallback = false;  ///< a character without an entry becomes "<0xE4>", ... if all of these exist
  bool fuse_unknown = false;   ///< a run of unknown characters becomes one unknown token
  std::optional<std::string> unknown;
};

class Bpe final : public Vocabulary {
 public:
  /// @param merges  in order of rank; the same pair again replaces the earlier one
  /// @throws Error{input} for a merge of entries, or into one, that the vocabulary does not have; an absent `unknown`.
  Bpe(std::vector<std::pair<std::string, std::int64_t>> vocabulary,
      const std::vector<std::pair<std::string, std::string>>& merges, BpeOptions options);

  /// A character (byte) without an entry, without fallback and without an unknown token, is left out: so does the
  /// reference, and models were trained that way (SmolLM2's vocabulary lacks 21 bytes, 6 of them control characters).
  void encode(std::span<const std::string_view> pieces, TokenIds& ids) const override;
  std::optional<std::int64_t> id_of(std::string_view entry) const override;
  const std::string* entry(std::int64_t id) const override { return entries_.find(id); }
  std::int64_t size() const override { return entries_.size(); }

 private:
  std::optional<std::int64_t> symbol(std::string_view text) const;
  bool add_fallback(std::string_view character, MergeScratch& scratch) const;
  void add_symbols(std::string_view word, MergeScratch& scratch) const;
  void add_merge(const std::string& left, const std::string& right, std::int32_t rank);

  BpeOptions options_;
  Entries entries_;
  TextToId words_;        // what a piece holds (bytes, where options_.bytes) to its id
  TextToId unreachable_;  // entries that are not in the alphabet of bytes, where options_.bytes
  std::unordered_map<std::uint64_t, Merge> merges_;  // by left id << 32 | right id
  std::array<std::int32_t, 256> byte_ids_{};         // of words of one byte, -1: none
  std::array<std::int32_t, 256> fallback_ids_{};     // of "<0x00>" .. "<0xFF>", -1: none
  std::int32_t unknown_id_ = -1;
};

/// Byte-pair encoding with a rank for each token and no list of merges: tiktoken's.
class RankedBpe final : public Vocabulary {
 public:
  /// @param ranks  token bytes and rank, which is the id too
  /// @throws Error{input} for a rank that two tokens have, or a byte without a token.
  explicit RankedBpe(std::vector<std::pair<std::string, std::int64_t>> ranks);

  void encode(std::span<const std::string_view> pieces, TokenIds& ids) const override;
  std::optional<std::int64_t> id_of(std::string_view entry) const override;
  const std::string* entry(std::int64_t id) const override { return entries_.find(id); }
  std::int64_t size() const override { return entries_.size(); }

 private:
  Entries entries_;
  TextToId ranks_;
  std::array<std::int32_t, 256> byte_ids_{};
  std::size_t longest_ = 0;  // of a token, in bytes
};

}  // namespace mquant
