// What Artifact and verify_artifact share: an opened directory, its manifest, and its blocks piece by piece.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "artifact/coding.h"
#include "artifact/matrices.h"
#include "io/json_text.h"
#include "mquant/artifact.h"
#include "mquant/checkpoint.h"

namespace mquant {

class OpenArtifact {
 public:
  /// @throws Error{input} for a manifest that does not follow the schema, or one of another family
  OpenArtifact(const std::filesystem::path& directory, const ModelSpec& model);
  OpenArtifact(const OpenArtifact&) = delete;  // names_ refers to this object
  OpenArtifact& operator=(const OpenArtifact&) = delete;

  const ModelSpec& model() const { return model_; }
  const Json& manifest() const { return *manifest_; }
  const Checkpoint& tensors() const { return tensors_; }
  const BlockSpec& block(const std::string& name) const;  ///< Error{usage} if there is none

  std::vector<Matrix> matrices(const BlockSpec& spec) const { return matrices_of(spec, names_); }
  /// Module of each parameter that the manifest may list under "embeddings".
  std::vector<std::string> embedding_modules() const;
  /// Each reads one piece into `block`.  @throws Error{input} naming the tensor
  void read_matrix(const Matrix& matrix, const BlockSpec& spec, StoredBlock& block) const;
  void read_norm(const NormSpec& norm, StoredBlock& block) const;
  void read_param(const ParamSpec& param, const BlockSpec& spec, StoredBlock& block) const;
  void read_kv_scales(const BlockSpec& spec, StoredBlock& block) const;

 private:
  NormNames names_of(const NormSpec& norm) const;
  void read_embedding(const Matrix& matrix, const ParamSpec& param, StoredBlock& block) const;
  /// The figures that an entry's parts tell.
  static void read_figures(const Fields& entry, StoredBlock& block);

  ModelSpec model_;
  std::filesystem::path directory_;
  std::shared_ptr<const Json> manifest_;
  Checkpoint tensors_;
  OfficialNames names_;
  Dialect dialect_;
};

}  // namespace mquant
