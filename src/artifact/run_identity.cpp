#include "artifact/run_identity.h"

#include <limits>
#include <nlohmann/json.hpp>

#include "mquant/error.h"

namespace mquant {
namespace {

constexpr std::int64_t kLargest = std::numeric_limits<std::int64_t>::max();

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

std::string recipe_difference(const std::string& before, const std::string& now) {
  if (before == now) return {};
  const Json a = parse_json(before, "the recipe of the calibration"), b = parse_json(now, "the recipe");
  const Json changes = Json::diff(a, b);
  if (changes.empty()) return "the recipe's text";
  const std::string path = changes[0]["path"];
  return cat("the recipe: ", path.empty() ? "all of it" : path, " was ", value_text(a, path), " and is ",
             value_text(b, path));
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

OrderedJson identity_json(const RunIdentity& identity) {
  return {{"tool_version", identity.tool_version},
          {"libraries", identity.libraries},
          {"model", identity.model.string()},
          {"files", identity.files},
          {"family", identity.family},
          {"data_file", identity.data_file},
          {"data_digest", identity.data_digest},
          {"samples", identity.samples},
          {"sample_digests", identity.sample_digests},
          {"tokens", identity.tokens},
          {"sinks", sinks_json(identity.sinks)},
          {"recipe", identity.recipe},
          {"seed", identity.seed}};
}

RunIdentity identity_from(const Fields& fields) {
  RunIdentity identity;
  identity.tool_version = fields.text("tool_version");
  identity.libraries = text_map(fields.object("libraries"));
  identity.model = fields.text("model");
  identity.files = text_map(fields.object("files"));
  identity.family = fields.text("family");
  identity.data_file = fields.text("data_file");
  identity.data_digest = fields.text("data_digest");
  identity.samples = fields.integer("samples", 0, kLargest);
  identity.sample_digests = fields.texts("sample_digests");
  const Fields tokens = fields.object("tokens");
  for (const auto& [key, value] : tokens.json().items())
    identity.tokens[key] = tokens.integer(key, 0, kLargest);
  identity.sinks = sinks_from(fields.object("sinks"));
  identity.recipe = fields.text("recipe");
  identity.seed = fields.natural("seed");
  return identity;
}

std::string difference(const RunIdentity& before, const RunIdentity& now) {
  for (const std::string& text :
       {value_difference("the version of mquant", before.tool_version, now.tool_version),
        map_difference("the library", before.libraries, now.libraries),
        value_difference("the model", before.model.string(), now.model.string()),
        map_difference("the SHA-256 of", before.files, now.files),
        value_difference("the family", before.family, now.family),
        recipe_difference(before.recipe, now.recipe), value_difference("the seed", before.seed, now.seed),
        value_difference("the number of samples", before.samples, now.samples),
        value_difference("the name of the data file", before.data_file, now.data_file),
        value_difference("the digest of the samples", before.data_digest, now.data_digest),
        map_difference("the number of tokens of class", before.tokens, now.tokens)})
    if (!text.empty()) return text;
  return before.sample_digests == now.sample_digests ? "" : "the digests of the samples";
}

}  // namespace mquant
