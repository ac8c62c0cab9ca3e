// The JSON schema of recipes, made from the same tables that the parser reads: for editors, and for other
// programs.
#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>

#include "mquant/recipe.h"
#include "recipe/options.h"
#include "support/strings.h"

namespace mquant {

OrderedJson option_schema(const PassOption& option) {
  const OrderedJson fallback = OrderedJson::parse(option.fallback);
  OrderedJson schema;
  if (fallback.is_boolean()) {
    schema["type"] = "boolean";
  } else if (fallback.is_number_integer()) {
    schema["type"] = "integer";
  } else if (fallback.is_number()) {
    schema["type"] = "number";
  } else {
    schema["type"] = "string";
  }
  if (!option.choices.empty()) schema["enum"] = option.choices;
  for (const bool value : {true, false})  // a choice that spells a boolean may be one
    if (std::ranges::find(option.choices, value ? "true" : "false") != option.choices.end()) {
      schema["type"] = {"string", "boolean"};
      schema["enum"].push_back(value);
    }
  OrderedJson ends = OrderedJson::object();
  const auto end = [&](const char* key, const std::optional<double>& value) {
    if (value && fallback.is_number_integer())
      ends[key] = static_cast<std::int64_t>(*value);
    else if (value)
      ends[key] = *value;
  };
  end("exclusiveMinimum", option.range.above);
  end("minimum", option.range.at_least);
  end("exclusiveMaximum", option.range.below);
  end("maximum", option.range.at_most);
  if (option.range.or_zero)
    schema["anyOf"] = OrderedJson::array({OrderedJson{{"minimum", 0}, {"maximum", 0}}, ends});
  else
    schema.update(ends);
  schema["default"] = fallback;
  schema["description"] = option.summary;
  return schema;
}

OrderedJson options_schema(std::span<const PassOption> options) {
  OrderedJson schema = {
      {"type", "object"}, {"additionalProperties", false}, {"properties", OrderedJson::object()}};
  for (const PassOption& option : options) schema["properties"][option.name] = option_schema(option);
  return schema;
}

namespace {

OrderedJson pass_schema(const PassInfo& info) {
  OrderedJson schema = options_schema(info.options);
  std::vector<std::string> description = {info.summary};
  for (const std::string& clause : contract_text(info)) description.push_back(clause);
  schema["description"] = join(description, "; ");
  schema["required"] = {"pass"};
  schema["properties"]["pass"] = {{"enum", {info.name}}};
  return schema;
}

}  // namespace

std::string recipe_schema() {
  OrderedJson passes = OrderedJson::array();
  for (const PassInfo& info : all_passes()) passes.push_back(pass_schema(info));
  const OrderedJson schema = {
      {"$schema", "http://json-schema.org/draft-07/schema#"},
      {"title", "A recipe of mquant"},
      {"type", "object"},
      {"additionalProperties", false},
      {"properties",
       {{"$schema", {{"type", "string"}}},
        {"summary", {{"type", "string"}, {"description", "one line for mquant list recipes"}}},
        {"schemes", options_schema(scheme_options())},
        {"passes", {{"type", "array"}, {"items", {{"oneOf", passes}}}}},
        {"calibration", options_schema(calibration_options())}}}};
  return schema.dump(2) + "\n";
}

}  // namespace mquant
