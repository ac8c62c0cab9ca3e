#include "artifact/manifest.h"

#include <nlohmann/json.hpp>

#include "mquant/error.h"
#include "support/sha256.h"

namespace mquant {
namespace {

constexpr const char* kDigest = "digest";

std::string text_of(const OrderedJson& manifest) {
  return manifest.dump(1, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

}  // namespace

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
  OrderedJson manifest = parse_ordered_json(text, kManifestFile);
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
