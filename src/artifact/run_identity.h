// RunIdentity as JSON, and what two of them disagree on.
#pragma once

#include <string>

#include "artifact/fields.h"
#include "mquant/artifact.h"

namespace mquant {

OrderedJson identity_json(const RunIdentity& identity);
RunIdentity identity_from(const Fields& fields);

/// The first thing that differs, as the end of a sentence: "the recipe: /calibration/samples was 64 and is 128".
/// "" if they are equal.
std::string difference(const RunIdentity& before, const RunIdentity& now);

}  // namespace mquant
