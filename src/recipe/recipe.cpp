// Recipes: JSON text, completed by the defaults of the pass table, changed by overrides, checked, and kept as
// text.
//
// Everything is done on one JSON document that has every key; the structs are made from it at the end, so the
// canonical text in a manifest parses to the same recipe again.
#include "mquant/recipe.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "mquant/error.h"
#include "mquant/options.h"
#include "recipe/contracts.h"
#include "recipe/options.h"
#include "support/strings.h"

namespace mquant {
namespace {

Json::object_t object_of(const Json& document, const char* key, const std::string& origin) {
  if (!document.contains(key)) return {};
  if (!document[key].is_object()) fail(ErrorKind::usage, origin, ": '", key, "': expected an object {...}");
  return document[key].get<Json::object_t>();
}

void check_keys(const Json& document, const std::string& origin) {
  static const std::vector<std::string> kKeys = {"$schema", "summary", "schemes", "passes", "calibration"};
  if (!document.is_object()) fail(ErrorKind::usage, origin, ": expected an object {...}");
  for (const auto& [key, value] : document.items()) {
    if (std::ranges::find(kKeys, key) == kKeys.end()) {
      fail(ErrorKind::usage, origin, ": no key '", key, "' in a recipe", suggestion(key, kKeys));
    }
  }
}

std::vector<std::string> names_of(const Json& passes) {
  std::vector<std::string> names;
  for (const Json& pass : passes) names.push_back(pass["pass"]);
  return names;
}

Json completed_pass(Json pass, const std::string& origin) {
  if (!pass.is_object() || !pass.contains("pass") || !pass["pass"].is_string()) {
    fail(ErrorKind::usage, origin, R"(: 'passes': expected objects like {"pass": "rotate"}, found )",
         describe(pass));
  }
  const std::string name = pass["pass"];
  pass.erase("pass");
  Json complete = completed(pass, pass_info(name, origin).options, cat(origin, ": pass '", name, "'"));
  complete["pass"] = name;
  return complete;
}

Json completed_passes(const Json& document, const std::string& origin) {
  Json passes = Json::array();
  if (!document.contains("passes")) return passes;
  if (!document["passes"].is_array()) fail(ErrorKind::usage, origin, ": 'passes': expected a list [...]");
  for (const Json& given : document["passes"]) {
    Json pass = completed_pass(given, origin);
    if (std::ranges::count(names_of(passes), pass["pass"].get<std::string>()) != 0) {
      fail(ErrorKind::usage, origin, ": pass ", pass["pass"].dump(),
           " is there twice; once is what --set can address");
    }
    passes.push_back(std::move(pass));
  }
  return passes;
}

/// The document with every key that a recipe can have, and no other.
Json completed_document(const Json& document, const std::string& origin) {
  check_keys(document, origin);
  const Json summary = document.value("summary", Json(""));
  if (!summary.is_string()) fail(ErrorKind::usage, origin, ": 'summary': expected a text");
  return {{"summary", summary},
          {"schemes",
           completed(object_of(document, "schemes", origin), scheme_options(), origin + ": 'schemes'")},
          {"passes", completed_passes(document, origin)},
          {"calibration", completed(object_of(document, "calibration", origin), calibration_options(),
                                    origin + ": 'calibration'")}};
}

struct Override {
  std::string text, group, option, value;  // "round.damping=0.05": round, damping, 0.05
};

Override parse_override(const std::string& text) {
  const auto equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    fail(ErrorKind::usage, "--set '", text,
         "': expected key=value, such as round.damping=0.05 or drop=suppress");
  }
  const std::string key = text.substr(0, equals);
  const auto dot = key.find('.');
  return {text, key.substr(0, dot), dot == std::string::npos ? "" : key.substr(dot + 1),
          text.substr(equals + 1)};
}

void drop_pass(Json& passes, const Override& set) {
  const auto found =
      std::ranges::find_if(passes, [&](const Json& pass) { return pass["pass"] == set.value; });
  if (found == passes.end()) {
    fail(ErrorKind::usage, "--set '", set.text, "': the recipe has no pass '", set.value, "'",
         suggestion(set.value, names_of(passes)));
  }
  passes.erase(found);
}

void set_option(Json& target, std::span<const PassOption> options, const Override& set) {
  const std::string where = cat("--set '", set.text, "'");
  const auto option = std::ranges::find(options, set.option, &PassOption::name);
  if (option == options.end()) {
    std::vector<std::string> names;
    for (const PassOption& known : options) names.push_back(known.name);
    fail(ErrorKind::usage, where, ": no option '", set.option, "' in '", set.group, "'",
         suggestion(set.option, names));
  }
  target[option->name] = value_of_text(*option, set.value, where);
}

void apply(Json& document, const std::string& text) {
  const Override set = parse_override(text);
  Json& passes = document["passes"];
  if (set.group == "drop" && set.option.empty()) return drop_pass(passes, set);
  if (set.group == "schemes") return set_option(document["schemes"], scheme_options(), set);
  if (set.group == "calibration") return set_option(document["calibration"], calibration_options(), set);
  const auto pass =
      std::ranges::find_if(passes, [&](const Json& known) { return known["pass"] == set.group; });
  if (pass == passes.end()) {
    std::vector<std::string> known = names_of(passes);
    known.insert(known.end(), {"schemes", "calibration", "drop"});
    fail(ErrorKind::usage, "--set '", text, "': the recipe has no '", set.group, "'",
         suggestion(set.group, known));
  }
  set_option(*pass, pass_info(set.group, "recipe").options, set);
}

CalibrationSettings calibration_settings(const Json& calibration) {
  return read_options<CalibrationSettings>(Config::parse(calibration.dump(), "calibration"));
}

Recipe recipe_of(Json document, const std::string& origin) {
  Recipe recipe;
  recipe.name = std::filesystem::path(origin).stem();
  recipe.summary = document["summary"];
  for (const auto& [role, scheme] : document["schemes"].items()) {
    const bool tied = role == "embed" && scheme == "tied";
    recipe.embeddings_follow_head = recipe.embeddings_follow_head || tied;
    recipe.schemes[role] = tied ? QuantScheme{} : parse_scheme(scheme);
  }
  for (Json pass : document["passes"]) {
    const std::string name = pass["pass"];
    pass.erase("pass");
    recipe.passes.push_back({name, Config::parse(pass.dump(), cat(origin, ": pass '", name, "'"))});
  }
  Json& calibration = document["calibration"];
  recipe.calibration =
      in_context(origin + ": 'calibration'", [&] { return calibration_settings(calibration); });
  calibration["classes"] = text_of(recipe.calibration.classes);
  recipe.json = document.dump();
  check_contracts(recipe, origin);
  return recipe;
}

}  // namespace

const std::vector<PassOption>& scheme_options() {
  static const std::vector<std::string> kSchemes = {"w4a8", "w8a8", "w4a16", "w8a16", "w16a8", "float"};
  static const std::vector<std::string> kOfEmbeddings = {"w8a16", "float",
                                                         "tied"};  // they have no activations
  static const std::vector<PassOption> kOptions = {
      {"patch_embed", R"("float")", "the patch embedding of the vision tower", kSchemes},
      {"vision", R"("float")", "the blocks of the vision tower", kSchemes},
      {"projector", R"("float")", "the projector, merger or resampler", kSchemes},
      {"embed", R"("float")",
       "the embeddings: w8a16 is 8 bits and a scale a row; tied: as the head where both stay one tensor, "
       "else float",
       kOfEmbeddings},
      {"decoder", R"("float")", "the blocks of the language model", kSchemes},
      {"head", R"("float")", "the output head", kSchemes},
  };
  return kOptions;
}

const std::vector<PassOption>& calibration_options() {
  static const std::vector<PassOption> kOptions = describe_options<CalibrationSettings>();
  return kOptions;
}

void CalibrationSettings::bind(OptionBinder& options) {
  options.integer("samples", samples, "the first n samples of the file; 0: all", {.at_least = 0});
  options.flag("answers", answers, "the tokens of the answer follow the prompt");
  options.choice(
      "sink", sinks,
      "tokens with massive activations are a class of their own: those that are found, the first one, none",
      {{"auto", SinkSetting::find}, {"true", SinkSetting::first_token}, {"false", SinkSetting::none}});
  std::string names = text_of(classes);
  options.text(
      "classes", names,
      "token classes that the model will meet, such as text,sink for one without pictures: each needs "
      "rows in the samples");
  classes = token_classes(names, "'classes'");
  if (!classes.contains(TokenClass::sink) && sinks == SinkSetting::first_token)
    fail(ErrorKind::usage, "'classes' leaves out sink, but 'sink' is true; leave out one of them");
  options.choice("propagate", quantized,
                 "what later blocks see: the output of quantized blocks or of float ones",
                 {{"quantized", true}, {"float", false}});
  options.integer("self_check", self_check,
                  "samples that also run through the float model, to tell what was lost; 0: none",
                  {.at_least = 0});
}

std::string Recipe::scheme_name(const std::string& role) const {
  return role == "embed" && embeddings_follow_head ? "tied" : schemes.at(role).name();
}

QuantScheme Recipe::scheme_of(const std::string& block_name) const {
  const auto found = schemes.find(block_name.substr(0, block_name.find('.')));
  return found == schemes.end() ? QuantScheme{} : found->second;
}

const PassConfig* Recipe::find(std::string_view pass) const {
  const auto found = std::ranges::find(passes, pass, &PassConfig::name);
  return found == passes.end() ? nullptr : &*found;
}

Recipe recipe_of_document(const Json& document, const std::string& origin,
                          const std::vector<std::string>& overrides) {
  Json complete = completed_document(document, origin);
  for (const std::string& set : overrides) apply(complete, set);
  return recipe_of(complete, origin);
}

Recipe parse_recipe(const std::string& text, const std::string& origin,
                    const std::vector<std::string>& overrides) {
  return recipe_of_document(parse_json(text, origin), origin, overrides);
}

}  // namespace mquant
