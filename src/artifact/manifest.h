// mquant_manifest.json: what an artifact is, where it comes from, and the digest of every file in it.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "artifact/fields.h"
#include "mquant/artifact.h"

namespace mquant {

inline constexpr const char* kManifestFile = "mquant_manifest.json";
inline constexpr int kManifestVersion = 1;  // raised when an old reader would misunderstand a new manifest

/// What the manifest says of a run: "tool", "source", "calibration", "sinks".
OrderedJson manifest_of(const RunIdentity& run);
/// The part that is known before any block: tool, source, calibration, recipe, token rule.
OrderedJson manifest_head(const ExportInput& input, const FormatInfo& format);

/// The text of the file: `manifest` and, as its last key, "digest", the SHA-256 of the text without that key.
/// @throws Error{internal} if the result does not follow the schema
std::string sealed(OrderedJson manifest);

/// The manifest in `directory`.
/// @throws Error{input} if there is none, it does not follow the schema, or its version is of a later mquant
Json read_manifest(const std::filesystem::path& directory);

/// Is the text what sealed() made?  @throws Error{input} if it is not JSON
bool is_sealed(std::string_view text);

/// "" if `manifest` follows configs/manifest.schema.json; else the first thing that does not, with its place.
std::string schema_violation(const Json& manifest);
/// The text of configs/manifest.schema.json, as built in.
std::string_view manifest_schema();

}  // namespace mquant
