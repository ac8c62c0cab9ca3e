// The tables of the program as text: families, passes, formats, recipes, the schema of recipes.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace mquant::cli {

struct Catalogue {
  std::string screen, markdown;
  nlohmann::ordered_json json;
};

/// "families", "passes", "formats", "recipes" or "schema".
Catalogue catalogue_of(const std::string& topic);

}  // namespace mquant::cli
