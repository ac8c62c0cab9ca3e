// The manifest against its JSON schema.  The only file that sees valijson.
#include <nlohmann/json.hpp>
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validation_results.hpp>
#include <valijson/validator.hpp>

#include "artifact/manifest.h"

namespace mquant {
namespace {

const valijson::Schema& parsed_schema() {
  static const valijson::Schema* const schema = [] {
    auto* made = new valijson::Schema;  // lives as long as the program
    const Json text = Json::parse(manifest_schema());
    const valijson::adapters::NlohmannJsonAdapter adapter(text);
    valijson::SchemaParser(valijson::SchemaParser::kDraft7).populateSchema(adapter, *made);
    return made;
  }();
  return *schema;
}

}  // namespace

std::string schema_violation(const Json& manifest) {
  valijson::Validator validator;
  valijson::ValidationResults results;
  const valijson::adapters::NlohmannJsonAdapter adapter(manifest);
  if (validator.validate(parsed_schema(), adapter, &results)) return {};
  valijson::ValidationResults::Error deepest;
  for (valijson::ValidationResults::Error error; results.popError(error);)
    if (error.context.size() >= deepest.context.size()) deepest = error;
  std::string place;
  for (const std::string& step : deepest.context) place += step == "<root>" ? "" : step;
  return printable(place) + ": " + printable(deepest.description);
}

}  // namespace mquant
