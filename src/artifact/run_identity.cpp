#include "artifact/run_identity.h"

#include <limits>
#include <nlohmann/json.hpp>

#include "mquant/error.h"
#include "support/sha256.h"

namespace mquant {
namespace {

constexpr std::int64_t kLargest = std::numeric_limits<std::int64_t>::max();
constexpr const char* kConfig = "config.json";

std::map<std::string, std::string> text_map(const Fields& fields) {
  std::map<std::string, std::string> map;
  for (const auto& [key, value] : fields.json().items()) map[key] = fields.text(key);
  return map;
}

template <class Value>
std::string map_difference(const char* what, const std::map<std::string, Value>& before,
                           const std::map<std::string, Value>& now) {
  for (const auto& [key, value] : before) {
    const auto it = now.find(key);
    if (it == now.end()) return cat(what, " '", key, "' is gone");
    if (it->second != value) return cat(what, " '", key, "' was ", value, " and is ", it->second);
  }
  for (const auto& [key, value] : now)
    if (!before.contains(key)) return cat(what, " '", key, "' is new");
  return {};
}

std::string value_text(const Json& document, const std::string& pointer) {
  const Json::json_pointer at(pointer);
  return document.contains(at) ? printable(document.at(at).dump()) : "absent";
}

/// A stated template by its digest: its text is long.
std::string digest_of(const std::string& chat_template) {
  return chat_template.empty() ? "absent" : cat("of SHA-256 ", sha256_hex(chat_template));
}

std::string date_of(const RunIdentity& identity) {
  return identity.template_date.empty() ? "absent" : identity.template_date;
}

std::string recipe_difference(const std::string& before, const std::string& now) {
  if (before == now) return {};
  const Json a = parse_json(before, "the recipe of the calibration"), b = parse_json(now, "the recipe");
  const Json changes = Json::diff(a, b);
  if (changes.empty()) return "the recipe's text";
  const std::string path = changes[0]["path"];
  return cat("the recipe: ", path.empty() ? "all of it" : path, " was ", value_text(a, path), " and is ",
             value_text(b, path));
}

using TextMap = std::map<std::string, std::string>;

/// Of values that both runs looked up: a program that has found the same values so far looks up the same one next, so
/// the first that differs is among them.
std::string config_difference(const TextMap& before, const TextMap& now) {
  const auto text = [](const std::string& value) { return value.empty() ? "absent" : printable(value); };
  for (const auto& [key, value] : before)
    if (const auto it = now.find(key); it != now.end() && it->second != value)
      return cat(kConfig, ": '", printable(key), "' was ", text(value), " and is ", text(it->second));
  return {};
}

/// Names with digests; config.json stands aside where its values are known.
TextMap compared_whole(const SourceFiles& files) {
  TextMap whole = files.opened;
  if (!files.config.empty()) whole.erase(kConfig);
  return whole;
}

template <class Value>
std::string value_difference(const char* what, const Value& before, const Value& now) {
  return before == now ? std::string() : cat(what, " was ", before, " and is ", now);
}

}  // namespace

OrderedJson sinks_json(const SinkRule& rule) {
  return {
      {"first_token", rule.first_token}, {"first_visual", rule.first_visual}, {"first_of", rule.first_of}};
}

SinkRule sinks_from(const Fields& fields) {
  return {.first_token = fields.boolean("first_token"),
          .first_visual = fields.boolean("first_visual"),
          .first_of = fields.integers("first_of")};
}

ChatTemplate stated_template(const RunIdentity& identity) {
  return {identity.chat_template, "the --chat-template of the calibration", identity.template_date};
}

OrderedJson identity_json(const RunIdentity& identity) {
  return {{"tool_version", identity.tool_version},
          {"libraries", identity.libraries},
          {"model", identity.model.string()},
          {"files", identity.source.opened},
          {"sidecars", identity.source.sidecars},
          {"config", identity.source.config},
          {"family", identity.family},
          {"data_file", identity.data_file},
          {"data_digest", identity.data_digest},
          {"samples", identity.samples},
          {"sample_digests", identity.sample_digests},
          {"tokens", identity.tokens},
          {"sinks", sinks_json(identity.sinks)},
          {"chat_template", identity.chat_template},
          {"template_date", identity.template_date},
          {"recipe", identity.recipe},
          {"seed", identity.seed}};
}

RunIdentity identity_from(const Fields& fields) {
  RunIdentity identity;
  identity.tool_version = fields.text("tool_version");
  identity.libraries = text_map(fields.object("libraries"));
  identity.model = fields.text("model");
  identity.source = {text_map(fields.object("files")), text_map(fields.object("sidecars")),
                     text_map(fields.object("config"))};
  identity.family = fields.text("family");
  identity.data_file = fields.text("data_file");
  identity.data_digest = fields.text("data_digest");
  identity.samples = fields.integer("samples", 0, kLargest);
  identity.sample_digests = fields.texts("sample_digests");
  const Fields tokens = fields.object("tokens");
  for (const auto& [key, value] : tokens.json().items())
    identity.tokens[key] = tokens.integer(key, 0, kLargest);
  identity.sinks = sinks_from(fields.object("sinks"));
  identity.chat_template = fields.text("chat_template");
  if (fields.has("template_date")) identity.template_date = fields.text("template_date");
  identity.recipe = fields.text("recipe");
  identity.seed = fields.natural("seed");
  return identity;
}

std::string difference(const SourceFiles& before, const SourceFiles& now) {
  if (std::string text = config_difference(before.config, now.config); !text.empty()) return text;
  return map_difference("the SHA-256 of", compared_whole(before), compared_whole(now));
}

std::vector<std::string> harmless_changes(const SourceFiles& before, const SourceFiles& now) {
  std::vector<std::string> changes;
  const auto digest = [](const TextMap& files, const std::string& name) {
    const auto it = files.find(name);
    return it == files.end() ? std::string() : it->second;
  };
  const auto compare = [&](const TextMap& a, const TextMap& b, const std::string& name) {
    const std::string was = digest(a, name), is = digest(b, name);
    if (was != is)
      changes.push_back(cat("'", printable(name), "' ",
                            was.empty()  ? "is new"
                            : is.empty() ? "is gone"
                                         : "has changed"));
  };
  compare(before.opened, now.opened, kConfig);
  TextMap all = before.sidecars;
  all.insert(now.sidecars.begin(), now.sidecars.end());
  for (const auto& [name, any] : all) compare(before.sidecars, now.sidecars, name);
  return changes;
}

std::string difference(const RunIdentity& before, const RunIdentity& now) {
  for (const std::string& text :
       {value_difference("the version of mquant", before.tool_version, now.tool_version),
        map_difference("the library", before.libraries, now.libraries),
        value_difference("--chat-template", digest_of(before.chat_template), digest_of(now.chat_template)),
        value_difference("--template-date", date_of(before), date_of(now)),
        difference(before.source, now.source), value_difference("the family", before.family, now.family),
        recipe_difference(before.recipe, now.recipe), value_difference("the seed", before.seed, now.seed),
        value_difference("the number of samples", before.samples, now.samples),
        value_difference("the digest of the samples", before.data_digest, now.data_digest),
        map_difference("the number of tokens of class", before.tokens, now.tokens)})
    if (!text.empty()) return text;
  return before.sample_digests == now.sample_digests ? "" : "the digests of the samples";
}

std::string digest_of(const SourceFiles& files) {
  std::map<std::string, std::string> all = files.opened;
  all.insert(files.sidecars.begin(), files.sidecars.end());
  return sha256_of_named(all);
}

}  // namespace mquant
