#include "text/bpe.h"

#include <cstdio>

#include "io/json_text.h"
#include "mquant/error.h"
#include "text/byte_alphabet.h"
#include "text/unicode.h"

namespace mquant {
namespace {

std::uint64_t pair_key(std::int32_t left, std::int32_t right) {
  return (static_cast<std::uint64_t>(left) << 32) | static_cast<std::uint32_t>(right);
}

std::string byte_entry(unsigned byte) {
  std::array<char, 8> text{};
  std::snprintf(text.data(), text.size(), "<0x%02X>", byte);
  return text.data();
}

void append_ids(const MergeScratch& scratch, TokenIds& ids) {
  for (std::int32_t i = scratch.symbols.empty() ? -1 : 0; i >= 0;) {
    const Symbol& symbol = scratch.symbols[static_cast<std::size_t>(i)];
    ids.push_back(symbol.id);
    i = symbol.next;
  }
}

}  // namespace

Bpe::Bpe(std::vector<std::pair<std::string, std::int64_t>> vocabulary,
         const std::vector<std::pair<std::string, std::string>>& merges, BpeOptions options)
    : options_(std::move(options)) {
  require(!(options_.bytes && options_.byte_fallback), "bpe: byte fallback of bytes");
  byte_ids_.fill(-1);
  fallback_ids_.fill(-1);
  words_.reserve(vocabulary.size());
  for (auto& [entry, id] : vocabulary) {
    entries_.add(id, entry);
    auto word = options_.bytes ? from_byte_alphabet(entry) : std::optional<std::string>(entry);
    if (word && word->size() == 1)
      byte_ids_[static_cast<unsigned char>((*word)[0])] = static_cast<std::int32_t>(id);
    if (word)
      words_.emplace(std::move(*word), id);
    else
      unreachable_.emplace(std::move(entry), id);
  }
  merges_.reserve(merges.size());
  for (std::size_t i = 0; i < merges.size(); ++i) {
    add_merge(merges[i].first, merges[i].second, static_cast<std::int32_t>(i));
  }
  for (unsigned byte = 0; options_.byte_fallback && byte < 256; ++byte) {
    if (const auto id = id_of(byte_entry(byte))) fallback_ids_[byte] = static_cast<std::int32_t>(*id);
  }
  if (!options_.unknown) return;
  const auto unknown = id_of(*options_.unknown);
  if (!unknown)
    fail(ErrorKind::input, "unknown token '", printable(*options_.unknown), "' is not in the vocabulary");
  unknown_id_ = static_cast<std::int32_t>(*unknown);
}

void Bpe::add_merge(const std::string& left, const std::string& right, std::int32_t rank) {
  const auto find = [&](const std::string& entry) {
    const auto id = id_of(entry);
    if (!id) {
      fail(ErrorKind::input, "merge ", rank, " ('", printable(left), "', '", printable(right), "'): '",
           printable(entry), "' is not in the vocabulary");
    }
    return static_cast<std::int32_t>(*id);
  };
  const std::uint64_t key = pair_key(find(left), find(right));
  merges_.insert_or_assign(key, Merge{.rank = rank, .id = find(left + right)});
}

std::optional<std::int64_t> Bpe::id_of(std::string_view entry) const {
  const auto word = options_.bytes ? from_byte_alphabet(entry) : std::nullopt;
  const TextToId& table = options_.bytes && !word ? unreachable_ : words_;
  const auto found = table.find(word ? std::string_view(*word) : entry);
  return found == table.end() ? std::nullopt : std::optional(found->second);
}

/// The id of one character (byte).
std::optional<std::int64_t> Bpe::symbol(std::string_view text) const {
  if (text.size() == 1) {
    const std::int32_t id = byte_ids_[static_cast<unsigned char>(text[0])];
    return id < 0 ? std::nullopt : std::optional<std::int64_t>(id);
  }
  const auto found = words_.find(text);
  return found == words_.end() ? std::nullopt : std::optional(found->second);
}

bool Bpe::add_fallback(std::string_view character, MergeScratch& scratch) const {
  if (!options_.byte_fallback) return false;
  for (const char byte : character) {
    if (fallback_ids_[static_cast<unsigned char>(byte)] < 0) return false;
  }
  for (const char byte : character) scratch.add(fallback_ids_[static_cast<unsigned char>(byte)], 1);
  return true;
}

void Bpe::add_symbols(std::string_view word, MergeScratch& scratch) const {
  scratch.symbols.clear();
  std::int32_t unknown_length = 0;  // of unknown text that is not yet a symbol
  const auto add_unknown = [&] {
    if (unknown_length > 0) scratch.add(unknown_id_, unknown_length);
    unknown_length = 0;
  };
  for (std::size_t at = 0; at < word.size();) {
    const std::size_t wanted = options_.bytes ? 1 : character_length(word[at]);
    const std::string_view text = word.substr(at, wanted);
    at += text.size();
    const auto length = static_cast<std::int32_t>(text.size());
    if (const auto id = symbol(text)) {
      add_unknown();
      scratch.add(static_cast<std::int32_t>(*id), length);
    } else if (!add_fallback(text, scratch) && unknown_id_ >= 0) {
      // Bytes of a fallback go in front of unknown text that is still open, as in the reference.
      if (!options_.fuse_unknown) add_unknown();
      unknown_length += length;
    }
  }
  add_unknown();
}

void Bpe::encode(std::span<const std::string_view> pieces, TokenIds& ids) const {
  MergeScratch scratch;
  const auto find = [&](std::size_t at) -> std::optional<Merge> {
    const Symbol& left = scratch.symbols[at];
    const Symbol& right = scratch.symbols[static_cast<std::size_t>(left.next)];
    const auto found = merges_.find(pair_key(left.id, right.id));
    return found == merges_.end() ? std::nullopt : std::optional(found->second);
  };
  for (const std::string_view word : pieces) {
    if (options_.ignore_merges) {
      if (const auto whole = words_.find(word); whole != words_.end()) {
        ids.push_back(whole->second);
        continue;
      }
    }
    add_symbols(word, scratch);
    merge_symbols(scratch, find);
    append_ids(scratch, ids);
  }
}

RankedBpe::RankedBpe(std::vector<std::pair<std::string, std::int64_t>> ranks) {
  byte_ids_.fill(-1);
  ranks_.reserve(ranks.size());
  for (auto& [token, rank] : ranks) {
    entries_.add(rank, token);
    longest_ = std::max(longest_, token.size());
    if (token.size() == 1) byte_ids_[static_cast<unsigned char>(token[0])] = static_cast<std::int32_t>(rank);
    if (!ranks_.emplace(std::move(token), rank).second) {
      fail(ErrorKind::input, "rank ", rank, ": its token has another rank already");
    }
  }
  for (unsigned byte = 0; byte < 256; ++byte) {
    if (byte_ids_[byte] < 0) fail(ErrorKind::input, "no token for the byte ", byte_entry(byte));
  }
}

std::optional<std::int64_t> RankedBpe::id_of(std::string_view entry) const {
  const auto found = ranks_.find(entry);
  return found == ranks_.end() ? std::nullopt : std::optional(found->second);
}

void RankedBpe::encode(std::span<const std::string_view> pieces, TokenIds& ids) const {
  MergeScratch scratch;
  std::string_view word;
  const auto find = [&](std::size_t at) -> std::optional<Merge> {  // a symbol's index is its first byte
    const Symbol& left = scratch.symbols[at];
    const auto length = static_cast<std::size_t>(left.length) +
                        static_cast<std::size_t>(scratch.symbols[static_cast<std::size_t>(left.next)].length);
    if (length > longest_) return std::nullopt;
    const auto found = ranks_.find(word.substr(at, length));
    if (found == ranks_.end()) return std::nullopt;
    const auto rank = static_cast<std::int32_t>(found->second);
    return Merge{.rank = rank, .id = rank};
  };
  for (const std::string_view piece : pieces) {
    word = piece;
    if (const auto whole = ranks_.find(word); whole != ranks_.end()) {
      ids.push_back(whole->second);
      continue;
    }
    scratch.symbols.clear();
    for (const char byte : word) scratch.add(byte_ids_[static_cast<unsigned char>(byte)], 1);
    merge_symbols(scratch, find);
    append_ids(scratch, ids);
  }
}

}  // namespace mquant
