// The JSON schema of zoo files, for editors and other programs; values come from the table that
// the reader has.
#include <nlohmann/json.hpp>

#include "mquant/zoo.h"
#include "recipe/options.h"
#include "zoo/checks.h"
#include "zoo/settings.h"

namespace mquant {
namespace {

OrderedJson text_schema(const char* description) {
  return {{"type", "string"}, {"minLength", 1}, {"description", description}};
}

OrderedJson texts_schema(const char* description) {
  return {{"type", "array"},
          {"minItems", 1},
          {"items", {{"type", "string"}, {"minLength", 1}}},
          {"description", description}};
}

}  // namespace

OrderedJson zoo::settings_schema(Place place, const OrderedJson& more) {
  OrderedJson schema = options_schema(describe_options<Values>());
  OrderedJson& properties = schema["properties"];
  properties[kFormats] = texts_schema("formats to export; default: auto");
  properties[kChecks] = checks_schema();
  if (place == Place::chooses_recipes)
    properties[kRecipes] = texts_schema("recipes: of this file, built in, or files ending in .json");
  properties.update(more);
  return schema;
}

std::string zoo_schema() {
  using zoo::Place;
  OrderedJson recipe = zoo::settings_schema(
      Place::other, {{"recipe", text_schema("a built-in recipe, or a file ending in .json")},
                     {"set", texts_schema("changes, such as round.damping=0.05 or drop=suppress")}});
  recipe["required"] = {"recipe"};
  OrderedJson model = zoo::settings_schema(
      Place::chooses_recipes,
      {{"path", text_schema("a directory of a model, or a pattern of several")},
       {"name", text_schema("names jobs and artifacts; default: the directory's name")}});
  model["required"] = {"path"};
  const OrderedJson schema = {
      {"$schema", "http://json-schema.org/draft-07/schema#"},
      {"title", "A zoo of models for mquant"},
      {"type", "object"},
      {"additionalProperties", false},
      {"required", {"models"}},
      {"properties",
       {{"$schema", {{"type", "string"}}},
        {"defaults", zoo::settings_schema(Place::chooses_recipes, OrderedJson::object())},
        {"recipes",
         {{"type", "object"},
          {"additionalProperties", recipe},
          {"description", "recipes with changes, by name, and settings of their jobs"}}},
        {"models",
         {{"type", "array"},
          {"minItems", 1},
          {"items", {{"oneOf", {text_schema("a directory, or a pattern of several"), model}}}}}},
        {"jobs",
         {{"type", "object"},
          {"additionalProperties", zoo::settings_schema(Place::other, OrderedJson::object())},
          {"description", "settings of the jobs (MODEL.RECIPE) that match a pattern; later ones win"}}}}}};
  return schema.dump(2) + "\n";
}

}  // namespace mquant
