// The contracts of passes, and of the schemes that ask for what they provide.
#pragma once

#include <string>

#include "mquant/recipe.h"

namespace mquant {

/// Every fact that a pass or a scheme needs is provided before it, and none is provided before a pass that would break it.
/// @throws Error{usage} naming what breaks which contract, and an order that works
void check_contracts(const Recipe& recipe, const std::string& origin);

}  // namespace mquant
