// A small model that no one trained, with every way in which tensors are stored, and a calibration of it.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "mquant/artifact.h"
#include "tests/support/temp_dir.h"

namespace mquant::test {

/// A convolution with bias, two vision layers (fused by head, fused in chunks), a projector stored [in, out] without
/// ".weight", an embedding, two decoder layers (fused by group with stacked gate and up; plain), a head tied to it.
/// Described names begin with "model." and "visual."; the checkpoint has "language.model." for the former.
ModelSpec made_up_model();

/// What the calibration holds.
enum class Contents {
  plain,  ///< only what compressed-tensors can hold: no rotation, split column, RMS-ed LayerNorm, quantized convolution,
          ///< embeddings that are floats
  all,
};

/// A table of embeddings as codes.
StoredLinear made_up_embedding(const ParamSpec& param, std::uint64_t seed = 1);
StoredBlock made_up_block(const BlockSpec& spec, Contents contents, std::uint64_t seed = 1);

/// The checkpoint and a finished calibration of it, each in a directory of its own.
class MadeUp {
 public:
  explicit MadeUp(Contents contents);
  ExportInput input() const;
  const ModelSpec& model() const { return model_; }
  const Checkpoint& source() const { return source_; }
  std::filesystem::path directory() const { return directory_.path(); }  // for outputs
  StoredBlock block(const std::string& name) const;

 private:
  TempDir directory_;
  ModelSpec model_;
  Contents contents_;
  Checkpoint source_;
  CalibrationStore calibration_;
};

RunIdentity made_up_identity(const std::filesystem::path& source);

/// "" if they are equal bit for bit; else where they differ.
std::string difference(const StoredBlock& a, const StoredBlock& b);

/// Every file below `directory` by its path there.
std::map<std::string, std::string> contents_of(const std::filesystem::path& directory);

}  // namespace mquant::test
