// The checks of a zoo file: what each artifact must pass.
#pragma once

#include <string>
#include <vector>

#include "io/json_text.h"
#include "zoo/zoo_file.h"

namespace mquant::zoo {

/// @throws Error{usage} beginning with `where`
std::vector<Check> checks_of(const Json& value, const std::string& where);

/// The JSON schema of what checks_of takes.
OrderedJson checks_schema();

}  // namespace mquant::zoo
