// RunIdentity as JSON, and what two of them disagree on.
#pragma once

#include <string>

#include "artifact/fields.h"
#include "mquant/artifact.h"
#include "mquant/chat_template.h"

namespace mquant {

/// {"first_token", "first_visual", "first_of"}; of run.json and of the manifest.
OrderedJson sinks_json(const SinkRule& rule);
SinkRule sinks_from(const Fields& fields);

/// The chat template that a calibration was made with in place of its model's own.
ChatTemplate stated_template(const RunIdentity& identity);

OrderedJson identity_json(const RunIdentity& identity);
RunIdentity identity_from(const Fields& fields);

/// SHA-256 over names and digests of all files, wherever they lie.
std::string digest_of(const SourceFiles& files);

/// The first thing that differs and decides bytes, as the end of a sentence: "the recipe: /calibration/samples was 64 and
/// is 128".  "" if there is none.
std::string difference(const RunIdentity& before, const RunIdentity& now);
/// The same of the model's files.  config.json is compared by the values that were looked up in it.
std::string difference(const SourceFiles& before, const SourceFiles& now);
/// What else differs, each as a sentence without its end: sidecars, and config.json where no value in use changed.
std::vector<std::string> harmless_changes(const SourceFiles& before, const SourceFiles& now);

}  // namespace mquant
