#include "text/added_tokens.h"

#include <algorithm>

#include "io/json_text.h"
#include "mquant/error.h"
#include "text/unicode.h"

namespace mquant {
namespace {

constexpr std::size_t kLongestContent = 1024;

bool stands_alone(std::string_view text, std::size_t begin, std::size_t end) {
  std::size_t at = end, before = 0;
  return (end == text.size() || !is_word_character(next_character(text, at))) &&
         (begin == 0 || !is_word_character(last_character(text.substr(0, begin), before)));
}

/// Where the white space before `begin` starts, but not before `floor`.
std::size_t strip_left(std::string_view text, std::size_t begin, std::size_t floor) {
  std::size_t start = 0;
  while (begin > floor && is_white_space(last_character(text.substr(0, begin), start))) begin = start;
  return begin;
}

std::size_t strip_right(std::string_view text, std::size_t end) {
  for (std::size_t next = end; end < text.size() && is_white_space(next_character(text, next));) end = next;
  return end;
}

}  // namespace

bool Recognised::exists(const AddedToken& token) const {
  return kind_ != Kind::listed || !token.special ||
         std::find(ids_.begin(), ids_.end(), token.id) != ids_.end();
}

AddedTokens::AddedTokens(std::vector<AddedToken> tokens,
                         const std::function<std::string(const std::string&)>& normalize) {
  std::erase_if(tokens, [](const AddedToken& token) { return token.content.empty(); });
  // Of two contents that normalize to the same text, the reference finds the special one.
  std::stable_partition(tokens.begin(), tokens.end(), [](const AddedToken& token) { return token.special; });
  tokens_ = std::move(tokens);
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    const AddedToken& token = tokens_[i];
    const auto index = static_cast<std::int32_t>(i);
    if (token.content.size() > kLongestContent) {
      fail(ErrorKind::input, "added token ", token.id, ": expected at most ", kLongestContent,
           " bytes, found ", token.content.size());
    }
    if (token.id < 0 || token.id > kLargestTokenId) {
      fail(ErrorKind::input, "added token '", printable(token.content), "': expected an id of 0 to ",
           kLargestTokenId, ", found ", token.id);
    }
    if (!by_content_.emplace(token.content, index).second || !by_id_.emplace(token.id, index).second) {
      fail(ErrorKind::input, "added token '", printable(token.content), "' (id ", token.id,
           "): its content or its id belongs to another added token");
    }
    size_ = std::max(size_, token.id + 1);
    if (token.normalized)
      normalized_.add(normalize(token.content), index);
    else
      raw_.add(token.content, index);
  }
}

void AddedTokens::Trie::add(std::string_view content, std::int32_t token_index) {
  std::uint32_t node = 0;
  for (const char byte : content) {
    const std::uint64_t key = (std::uint64_t{node} << 8) | static_cast<unsigned char>(byte);
    const auto [child, is_new] = children.emplace(key, static_cast<std::uint32_t>(token.size()));
    if (is_new) token.push_back(-1);
    node = child->second;
  }
  if (node != 0 && token[node] < 0) token[node] = token_index;
}

const AddedToken* AddedTokens::longest_at(const Trie& trie, std::string_view text, std::size_t at,
                                          const Recognised& recognised, std::size_t& end) const {
  const AddedToken* longest = nullptr;
  std::uint32_t node = 0;
  for (std::size_t i = at; i < text.size(); ++i) {
    const auto child = trie.children.find((std::uint64_t{node} << 8) | static_cast<unsigned char>(text[i]));
    if (child == trie.children.end()) break;
    node = child->second;
    if (trie.token[node] < 0) continue;
    const AddedToken& token = tokens_[static_cast<std::size_t>(trie.token[node])];
    if (!recognised.exists(token)) continue;
    longest = &token;
    end = i + 1;
  }
  return longest;
}

void AddedTokens::split(std::string_view text, Stage stage, const Recognised& recognised,
                        std::vector<Piece>& pieces) const {
  const Trie& trie = stage == Stage::raw ? raw_ : normalized_;
  std::size_t done = 0;  // all before is in `pieces`
  for (std::size_t at = 0; at < text.size() && !trie.children.empty();) {
    std::size_t end = at + 1;
    const AddedToken* token = longest_at(trie, text, at, recognised, end);
    std::size_t begin = at;
    at = end;  // a token that is found but not taken hides shorter ones inside it, as in the reference
    if (!token || recognised.is_text(*token)) continue;
    if (token->single_word && !stands_alone(text, begin, end)) continue;
    if (token->lstrip) begin = strip_left(text, begin, done);
    if (token->rstrip) end = strip_right(text, end);
    begin = std::max(begin, done);
    if (end <= begin) continue;  // white space that the token before took along
    if (done < begin) pieces.push_back({.text = text.substr(done, begin - done)});
    pieces.push_back({.text = text.substr(begin, end - begin), .id = token->id});
    done = end;
  }
  if (done < text.size()) pieces.push_back({.text = text.substr(done)});
}

const AddedToken* AddedTokens::find(std::string_view content) const {
  const auto found = by_content_.find(content);
  return found == by_content_.end() ? nullptr : &tokens_[static_cast<std::size_t>(found->second)];
}

const AddedToken* AddedTokens::find(std::int64_t id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &tokens_[static_cast<std::size_t>(found->second)];
}

}  // namespace mquant
