#include "mquant/artifact.h"

#include <nlohmann/json.hpp>

#include "artifact/manifest.h"
#include "artifact/open_artifact.h"
#include "artifact/run_identity.h"
#include "mquant/error.h"

namespace mquant {
namespace fs = std::filesystem;

struct Artifact::Impl {
  OpenArtifact opened;
  Config manifest;
};

Artifact::Artifact(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Artifact::~Artifact() = default;
Artifact::Artifact(Artifact&&) noexcept = default;

bool Artifact::is_artifact(const fs::path& directory) {
  std::error_code ignored;  // asked about any name
  return fs::is_regular_file(directory / kManifestFile, ignored);
}

SinkRule Artifact::sinks_of(const fs::path& directory) {
  const Json manifest = read_manifest(directory);
  return sinks_from(Fields(manifest["sinks"], "mquant_manifest.json: 'sinks'"));
}

bool Artifact::is_of(const fs::path& directory, const RunIdentity& identity) {
  Json manifest = read_manifest(directory), run = manifest_of(identity);
  for (Json* const side : {&manifest, &run})
    (*side)["calibration"].erase("data_file");  // digests say what it holds
  for (const auto& [part, value] : run.items())
    if (manifest[part] != value) return false;
  return true;
}

Artifact Artifact::open(const fs::path& directory, const ModelSpec& model) {
  if (!is_artifact(directory))
    fail(ErrorKind::input, "'", directory.string(), "' is not an artifact of mquant: it has no ",
         kManifestFile);
  return Artifact(std::unique_ptr<Impl>(
      new Impl{OpenArtifact(directory, model), Config::open(directory / kManifestFile)}));
}

StoredBlock Artifact::read(const std::string& block) const {
  const BlockSpec& spec = impl_->opened.block(block);
  StoredBlock stored;
  stored.name = block;
  for (const Matrix& matrix : impl_->opened.matrices(spec)) impl_->opened.read_matrix(matrix, spec, stored);
  for (const NormSpec& norm : spec.norms) impl_->opened.read_norm(norm, stored);
  for (const ParamSpec& param : spec.params) impl_->opened.read_param(param, spec, stored);
  impl_->opened.read_kv_scales(spec, stored);
  return stored;
}

const Config& Artifact::manifest() const { return impl_->manifest; }

SinkRule Artifact::sinks() const {
  const Json& sinks = impl_->opened.manifest()["sinks"];
  return sinks_from(Fields(sinks, "mquant_manifest.json: 'sinks'"));
}

std::vector<std::string> Artifact::sample_digests() const {
  return impl_->opened.manifest()["calibration"]["sample_digests"].get<std::vector<std::string>>();
}

}  // namespace mquant
