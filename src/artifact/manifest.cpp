#include "artifact/manifest.h"

#include <nlohmann/json.hpp>

#include "artifact/run_identity.h"
#include "mquant/error.h"
#include "support/sha256.h"

namespace mquant {
namespace {

constexpr const char* kDigest = "digest";

std::string text_of(const OrderedJson& manifest) {
  return manifest.dump(1, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

/// JSON text with its keys in the order they are written.
OrderedJson ordered(const std::string& text, const std::string& origin) {
  parse_json(text, origin);  // depth and keys
  return OrderedJson::parse(text);
}

}  // namespace

OrderedJson manifest_head(const ExportInput& input, const FormatInfo& format) {
  const RunIdentity& run = input.calibration->identity();
  OrderedJson classes = OrderedJson::array();
  for (int c = 0; c < kTokenClasses; ++c) classes.push_back(token_class_name(static_cast<TokenClass>(c)));
  OrderedJson head = {
      {"manifest_version", kManifestVersion},
      {"tool", {{"name", "mquant"}, {"version", run.tool_version}, {"libraries", run.libraries}}},
      {"format", {{"name", format.name}, {"version", 1}, {"summary", format.summary}}},
      {"source", {{"model", run.model.filename().string()}, {"family", run.family}, {"files", run.files}}},
      {"calibration",
       {{"data_file", run.data_file},
        {"data_digest", run.data_digest},
        {"samples", run.samples},
        {"tokens", run.tokens},
        {"sample_digests", run.sample_digests},
        {"seed", run.seed},
        {"recipe", ordered(run.recipe, "the recipe of the calibration")}}},
      {"classes", classes},
      {"sinks", sinks_json(run.sinks)},
      {"token_rule", input.token_rule.empty() ? OrderedJson() : ordered(input.token_rule, "the token rule")}};
  if (!input.self_check.empty()) head["self_check"] = ordered(input.self_check, "the self-check");
  return head;
}

std::string sealed(OrderedJson manifest) {
  manifest.erase(kDigest);
  const std::string digest = sha256_hex(text_of(manifest));
  manifest[kDigest] = digest;
  std::string text = text_of(manifest);
  const std::string violation = schema_violation(parse_json(text, kManifestFile));
  require(violation.empty(), "the manifest does not follow its schema: ", violation);
  return text;
}

bool is_sealed(std::string_view text) {
  OrderedJson manifest = OrderedJson::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!manifest.is_object() || !manifest.contains(kDigest) || text_of(manifest) != text) return false;
  const OrderedJson digest = manifest[kDigest];
  manifest.erase(kDigest);
  return digest == sha256_hex(text_of(manifest));
}

Json read_manifest(const std::filesystem::path& directory) {
  const std::filesystem::path file = directory / kManifestFile;
  Json manifest = read_json(file);
  if (manifest.is_object() && manifest.contains("manifest_version") &&
      manifest["manifest_version"].is_number_integer() && manifest["manifest_version"] > kManifestVersion)
    fail(ErrorKind::unsupported, file.string(), ": written by a later mquant: manifest version ",
         describe(manifest["manifest_version"]), ", this program reads ", kManifestVersion);
  if (const std::string violation = schema_violation(manifest); !violation.empty())
    fail(ErrorKind::input, file.string(), ": ", violation);
  return manifest;
}

}  // namespace mquant
