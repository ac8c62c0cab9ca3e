// RunIdentity as JSON, and what two of them disagree on.
#pragma once

#include <string>

#include "artifact/fields.h"
#include "mquant/artifact.h"

namespace mquant {

/// {"first_token", "first_visual", "first_of"}; of run.json and of the manifest.
OrderedJson sinks_json(const SinkRule& rule);
SinkRule sinks_from(const Fields& fields);

OrderedJson identity_json(const RunIdentity& identity);
RunIdentity identity_from(const Fields& fields);

/// The first thing that differs, as the end of a sentence: "the recipe: /calibration/samples was 64 and is 128".
/// "" if they are equal.
std::string difference(const RunIdentity& before, const RunIdentity& now);

}  // namespace mquant
