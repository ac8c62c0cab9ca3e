// The added tokens that the files of a directory state outside of tokenizer.json.
#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>
#include <unordered_map>

#include "mquant/error.h"
#include "text/json_part.h"
#include "text/tokenizer.h"
#include "text/tokenizer_parts.h"

namespace mquant {
namespace {

constexpr const char* kDecoder = "added_tokens_decoder";
constexpr const char* kAdditional = "additional_special_tokens";
/// In the order in which transformers gives ids to those that have none.
constexpr const char* kNamedTokens[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                        "pad_token", "cls_token", "mask_token"};

struct File {
  Json json;
  std::string name;
};

std::optional<File> optional_json(const std::filesystem::path& file) {
  std::error_code error;  // other than that the file is absent: reading it says more
  if (!std::filesystem::exists(file, error) && !error) return std::nullopt;
  return File{read_json_object(file), file.string()};
}

JsonPart root(const File& file) { return {file.json, file.name}; }

/// Tokens in order, each content once.
class TokenList {
 public:
  bool add(AddedToken token) {
    const auto [place, is_new] = places_.emplace(token.content, tokens_.size());
    if (is_new) tokens_.push_back(std::move(token));
    return is_new;
  }
  const AddedToken* find(std::string_view content) const {
    const auto place = places_.find(content);
    return place == places_.end() ? nullptr : &tokens_[static_cast<std::size_t>(place->second)];
  }
  std::vector<AddedToken>& tokens() { return tokens_; }

 private:
  std::vector<AddedToken> tokens_;
  TextToId places_;
};

/// "content", or {"content": ..., "lstrip": ...}.
AddedToken read_token(const JsonPart& part, std::int64_t id) {
  if (part.is_text()) return {.content = part.text(), .id = id, .special = false};
  const bool special = part.flag_or("special", false);
  return {.content = part.at("content").text(),
          .id = id,
          .special = special,
          .normalized = part.flag_or("normalized", !special),
          .lstrip = part.flag_or("lstrip", false),
          .rstrip = part.flag_or("rstrip", false),
          .single_word = part.flag_or("single_word", false)};
}

std::int64_t checked_id(std::int64_t id, const JsonPart& item) {
  if (id >= 0 && id <= kLargestTokenId) return id;
  fail(ErrorKind::input, item.where(), ": expected an id of 0 to ", kLargestTokenId, ", found ", id);
}

/// {"id": {"content": ...}}.
void read_decoder(const JsonPart& decoder, TokenList& list) {
  if (!decoder.value().is_object()) decoder.fail_expecting("an object of id to token");
  for (const auto& [key, unused] : decoder.value().items()) {
    const JsonPart item = decoder.at(key);
    std::int64_t id = 0;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || end != key.data() + key.size()) {
      fail(ErrorKind::input, decoder.where(), ": expected ids as keys, found '", printable(key), "'");
    }
    AddedToken token = read_token(item, checked_id(id, item));
    const std::string content = token.content;
    if (!list.add(std::move(token))) {
      fail(ErrorKind::input, item.where(), ": token '", printable(content), "' has another id already");
    }
  }
}

/// {"content": id}; what else is to know of them stands with their names.
void read_added(const JsonPart& added, const TokenList& named, TokenList& list) {
  for (const auto& [content, unused] : added.value().items()) {
    const JsonPart item = added.at(content);
    const AddedToken* name = named.find(content);
    AddedToken token = name ? *name : AddedToken{.content = content, .special = false, .normalized = true};
    token.id = checked_id(item.integer(), item);
    list.add(std::move(token));
  }
}

/// Whether names count that only a class of tokenizers or a processor knows: "image_token", "extra_special_tokens".
enum class Others { no, yes };

class NamedTokens {
 public:
  NamedTokens(const std::optional<File>& config, const std::optional<File>& map, Others others)
      : config_(config), map_(map) {
    for (const char* name : kNamedTokens) {
      if (const auto token = find(name)) add(*token);
    }
    if (config_ && others == Others::yes) add_others(root(*config_));
    if (const auto tokens = find(kAdditional)) {
      for (const JsonPart& token : tokens->items()) add(token);
    }
  }
  TokenList& list() { return list_; }

 private:
  void add_others(const JsonPart& config) {
    for (const auto& [key, value] : config.value().items())
      if (key.ends_with("_token") && (value.is_string() || value.is_object())) add(config.at(key));
    for (const char* key : {"extra_special_tokens", "model_specific_special_tokens"}) {
      if (!config.has(key)) continue;
      const JsonPart tokens = config.at(key);
      if (!tokens.value().is_object()) {
        for (const JsonPart& token : tokens.items()) add(token);
        continue;
      }
      for (const auto& [name, unused] : tokens.value().items()) add(tokens.at(name));
    }
  }

  std::optional<JsonPart> find(std::string_view name) const {
    for (const auto* file : {&map_, &config_}) {
      if (*file && root(**file).has(name)) return root(**file).at(name);
    }
    return std::nullopt;
  }
  void add(const JsonPart& part) {
    AddedToken token = read_token(part, kIdByContent);
    token.special = true;  // whatever it says: it has the name of a special token
    token.normalized = part.is_text() ? false : part.flag_or("normalized", false);
    if (!token.content.empty()) list_.add(std::move(token));
  }

  const std::optional<File>&config_, &map_;
  TokenList list_;
};

struct Files {
  std::vector<AddedToken> tokens;
  bool states_flags = false;  // tokenizer_config.json has an "added_tokens_decoder"
};

Files read_files(const std::filesystem::path& directory, Others others) {
  const std::optional<File> config = optional_json(directory / "tokenizer_config.json");
  const bool has_decoder = config && root(*config).has(kDecoder);
  std::optional<File> map, added;
  if (!has_decoder) {
    map = optional_json(directory / "special_tokens_map.json");
    added = optional_json(directory / "added_tokens.json");
  }
  NamedTokens named(config, map, others);
  TokenList list;
  if (has_decoder) read_decoder(root(*config).at(kDecoder), list);
  if (added) read_added(root(*added), named.list(), list);
  for (AddedToken& token : named.list().tokens()) list.add(std::move(token));
  return {std::move(list.tokens()), has_decoder};
}

bool same_flags(const AddedToken& a, const AddedToken& b) {
  return a.lstrip == b.lstrip && a.rstrip == b.rstrip && a.single_word == b.single_word;
}

}  // namespace

std::vector<AddedToken> read_added_tokens(const std::filesystem::path& directory) {
  return read_files(directory, Others::no).tokens;
}

void merge_added_tokens(const std::filesystem::path& directory, const Vocabulary& vocabulary,
                        std::int64_t next, std::vector<AddedToken>& tokens) {
  const auto refuse = [&](const AddedToken& token, const auto&... why) {
    fail(ErrorKind::input, (directory / "tokenizer.json").string(), ": token '", printable(token.content),
         "' ", why..., " in the files beside it; they do not belong together");
  };
  std::unordered_map<std::string, std::size_t> places;
  for (std::size_t i = 0; i < tokens.size(); ++i)
    places.emplace(tokens[i].content, i), next = std::max(next, tokens[i].id + 1);
  Files files = read_files(directory, Others::yes);
  const auto order = [](const AddedToken& token) {
    return token.id == kIdByContent ? kLargestTokenId + 1 : token.id;
  };
  std::ranges::stable_sort(files.tokens, {}, order);
  for (AddedToken& token : files.tokens) {
    const bool stated = token.id != kIdByContent;
    const auto place = places.find(token.content);
    const AddedToken* own = place == places.end() ? nullptr : &tokens[place->second];
    const std::int64_t id = own ? own->id : vocabulary.id_of(token.content).value_or(next);
    if (stated && token.id != id) refuse(token, "has the id ", id, ", but ", token.id);
    if (own && stated && files.states_flags && !same_flags(*own, token))
      refuse(token, "takes other white space along, or is found at other places, than");
    if (own) continue;
    token.id = id;
    next = std::max(next, id + 1);
    places.emplace(token.content, tokens.size());
    tokens.push_back(std::move(token));
  }
}

}  // namespace mquant
