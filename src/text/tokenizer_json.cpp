// tokenizer.json of HuggingFace's tokenizers library.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "mquant/error.h"
#include "text/bpe.h"
#include "text/json_part.h"
#include "text/steps_json.h"
#include "text/tokenizer.h"
#include "text/tokenizer_parts.h"

namespace mquant {
namespace {

std::vector<std::pair<std::string, std::int64_t>> read_vocabulary(const JsonPart& part) {
  if (!part.value().is_object()) part.fail_expecting("an object of token to id");
  std::vector<std::pair<std::string, std::int64_t>> vocabulary;
  vocabulary.reserve(part.value().size());
  for (const auto& [token, id] : part.value().items()) {
    if (!id.is_number_integer()) part.at(token).fail_expecting("an id");
    vocabulary.emplace_back(token, JsonPart(id, part.where()).integer());
  }
  return vocabulary;
}

/// "left right", or ["left", "right"].
std::pair<std::string, std::string> read_merge(const Json& merge, const JsonPart& merges) {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
    return {merge[0].get<std::string>(), merge[1].get<std::string>()};
  }
  if (!merge.is_string()) JsonPart(merge, merges.where()).fail_expecting("merges of two tokens");
  const auto& line = merge.get_ref<const std::string&>();
  const std::size_t blank = line.find(' ');
  if (blank == std::string::npos || line.find(' ', blank + 1) != std::string::npos) {
    JsonPart(merge, merges.where()).fail_expecting("merges of two tokens with one blank between them");
  }
  return {line.substr(0, blank), line.substr(blank + 1)};
}

std::vector<std::pair<std::string, std::string>> read_merges(const JsonPart& part) {
  if (!part.value().is_array()) part.fail_expecting("a list");
  std::vector<std::pair<std::string, std::string>> merges;
  merges.reserve(part.value().size());
  for (const Json& merge : part.value()) {
    if (merge.is_string() && merge.get_ref<const std::string&>().starts_with("#version")) continue;
    merges.push_back(read_merge(merge, part));
  }
  return merges;
}

void refuse_unless_empty(const JsonPart& model, std::string_view key) {
  if (model.has(key) && !model.at(key).text().empty()) {
    model.at(key).fail_unsupported("'" + printable(model.at(key).text()) + "'");
  }
}

std::unique_ptr<Vocabulary> read_model(const JsonPart& model, bool byte_level) {
  const bool is_bpe =
      model.has("type") ? model.type() == "BPE" : model.has("merges");  // old files state no type
  if (!is_bpe) model.fail_unsupported("model '" + (model.has("type") ? printable(model.type()) : "?") + "'");
  refuse_unless_empty(model, "continuing_subword_prefix");
  refuse_unless_empty(model, "end_of_word_suffix");
  if (model.has("dropout") &&
      !(model.at("dropout").value().is_number() && model.at("dropout").value() == 0)) {
    model.at("dropout").fail_unsupported("dropout");
  }
  BpeOptions options{.bytes = byte_level,
                     .ignore_merges = model.flag_or("ignore_merges", false),
                     .byte_fallback = model.flag_or("byte_fallback", false),
                     .fuse_unknown = model.flag_or("fuse_unk", false)};
  if (options.bytes && options.byte_fallback)
    model.at("byte_fallback").fail_unsupported("byte fallback of bytes");
  if (model.has("unk_token")) options.unknown = model.at("unk_token").text();
  auto vocabulary = read_vocabulary(model.at("vocab"));
  const auto merges = read_merges(model.at("merges"));
  return in_context(model.where(),
                    [&] { return std::make_unique<Bpe>(std::move(vocabulary), merges, std::move(options)); });
}

AddedToken read_added_token(const JsonPart& part) {
  return {.content = part.at("content").text(),
          .id = part.at("id").integer(),
          .special = part.at("special").flag(),
          .normalized = part.at("normalized").flag(),
          .lstrip = part.at("lstrip").flag(),
          .rstrip = part.at("rstrip").flag(),
          .single_word = part.at("single_word").flag()};
}

/// The reference takes no id from the file: a token has the vocabulary's, or the next one.  Where that differs, a model
/// and a file do not belong together.
std::vector<AddedToken> read_added_tokens(const JsonPart& part, const Vocabulary& vocabulary,
                                          std::int64_t entries) {
  std::vector<AddedToken> tokens;
  std::int64_t next = entries;
  for (const JsonPart& item : part.items()) {
    AddedToken token = read_added_token(item);
    const auto own = vocabulary.id_of(token.content);
    const std::int64_t expected = own ? *own : next;
    const std::string* entry = own ? nullptr : vocabulary.entry(token.id);
    if (token.id != expected || entry) {
      fail(ErrorKind::input, item.where(), ": token '", printable(token.content), "' has id ", token.id,
           entry ? ", which belongs to '" + printable(*entry) + "'" : cat(", but comes to have ", expected));
    }
    if (token.id >= next) next = token.id + 1;
    tokens.push_back(std::move(token));
  }
  return tokens;
}

/// Whether a step puts a blank, or what stands for one, in front of texts.
bool adds_blank(const JsonPart& step) {
  if (step.is_null()) return false;
  for (const char* list : {"normalizers", "pretokenizers"})
    if (step.has(list)) return std::ranges::any_of(step.at(list).items(), adds_blank);
  const std::string& type = step.type();
  if (type == "Metaspace") return !step.has("prepend_scheme") || step.at("prepend_scheme").text() != "never";
  return type == "Prepend" || (type == "ByteLevel" && step.flag_or("add_prefix_space", false));
}

/// Versions of transformers differ in what these do to a tokenizer.json that says otherwise.
void check_switches(const std::filesystem::path& directory, bool adds) {
  const std::filesystem::path file = directory / "tokenizer_config.json";
  if (!std::filesystem::exists(file)) return;
  const Json json = read_json(file);
  const JsonPart config(json, file.string());
  if (config.flag_or("split_special_tokens", false))
    config.at("split_special_tokens").fail_unsupported("true: special tokens as text");
  if (config.flag_or("add_prefix_space", adds) != adds)
    config.at("add_prefix_space")
        .fail_unsupported(cat(adds ? "false" : "true", ", where tokenizer.json says otherwise,"));
}

/// `directory`: of the files beside it; nullptr: none.
std::unique_ptr<const TokenizerParts> read_parts(const Json& json, const std::string& origin,
                                                 const std::filesystem::path* directory) {
  const JsonPart root(json, origin);
  const Json absent;
  const auto optional = [&](std::string_view key) {
    return root.has(key) ? root.at(key) : JsonPart(absent, origin);
  };
  auto parts = std::make_unique<TokenizerParts>();
  parts->origin = origin;
  parts->normalizers = read_normalizers(optional("normalizer"));
  PreTokenizers pre = read_pre_tokenizers(optional("pre_tokenizer"));
  parts->pre_tokenizers = std::move(pre.steps);
  parts->vocabulary = read_model(root.at("model"), pre.byte_level);
  parts->decoders = read_decoders(optional("decoder"));
  Template around = read_post_processor(optional("post_processor"));
  parts->before = std::move(around.before);
  parts->after = std::move(around.after);
  std::vector<AddedToken> added;
  const auto entries = static_cast<std::int64_t>(root.at("model").at("vocab").value().size());
  if (root.has("added_tokens"))
    added = read_added_tokens(root.at("added_tokens"), *parts->vocabulary, entries);
  if (directory) {
    check_switches(*directory, adds_blank(optional("normalizer")) || adds_blank(optional("pre_tokenizer")));
    merge_added_tokens(*directory, *parts->vocabulary, entries, added);
  }
  parts->added = in_context(origin, [&] {
    return AddedTokens(std::move(added), [&](const std::string& text) { return parts->normalize(text); });
  });
  return parts;
}

/// The files of a tokenizer that has not been converted to tokenizer.json; "" for none.
std::string slow_tokenizer(const std::filesystem::path& directory) {
  std::error_code ignored;
  const auto has = [&](const char* name) { return std::filesystem::exists(directory / name, ignored); };
  if (has("tokenizer.model")) return "tokenizer.model";
  return has("vocab.json") && has("merges.txt") ? "vocab.json with merges.txt" : "";
}

}  // namespace

Tokenizer open_tokenizer(const std::filesystem::path& directory) {
  const std::filesystem::path file = directory / "tokenizer.json";
  std::error_code ignored;
  if (const std::string slow = slow_tokenizer(directory);
      !slow.empty() && !std::filesystem::exists(file, ignored))
    fail(ErrorKind::unsupported, file.string(), ": not there, and ", slow,
         " is not read for this family; write it with "
         "AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR)");
  return Tokenizer(read_parts(read_json(file), file.string(), &directory));
}

Tokenizer parse_tokenizer(std::string_view json, const std::string& origin) {
  return Tokenizer(read_parts(parse_json(json, origin), origin, nullptr));
}

}  // namespace mquant
