// The tables of the program as text: families, passes, formats, recipes, the schema of recipes.
#pragma once

#include <string>

namespace mquant::cli {

struct Catalogue {
  std::string screen, markdown, json;
};

/// "families", "passes", "formats", "recipes" or "schema".
Catalogue catalogue_of(const std::string& topic);

}  // namespace mquant::cli
