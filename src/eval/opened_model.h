// A model whose headers are read and whose weights are not: a checkpoint, a calibration or an
// artifact.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "mquant/artifact.h"
#include "mquant/block.h"
#include "mquant/compile.h"
#include "mquant/family.h"
#include "nn/stored.h"
#include "pipeline/source.h"

namespace mquant {

/// What is known of a model before its weights are read.
struct ModelFacts {
  std::filesystem::path path;
  std::unique_ptr<const ModelSpec> spec;  // blocks point into it
  std::unique_ptr<Processor> processor;
  bool quantized = false, order_tokens = false;
  SinkRule sinks;
  std::uint64_t seed = 0;
  std::set<Space> rotated;
  std::vector<std::string> calibration_digests;  // of the samples; empty for a checkpoint
};

struct OpenedModel {
  /// @param stated  a chat template in place of its own, or of the one that a calibration was made
  /// with
  /// @throws what headers, processor and, of a calibration, digests of its files tell
  static OpenedModel open(const std::filesystem::path& path, const ChatTemplate& stated = {});

  /// The weights of one block.
  Block read(const BlockSpec& spec, FloatTensors floats) const;
  /// Has it scales of an int8 key-value cache?
  bool has_kv_scales() const;
  /// SHA-256 of what decides its results: of a checkpoint the files that it reads, of a
  /// calibration run.json and the journal, which names its finished blocks, of an artifact the
  /// manifest and the files that it reads beside weights.
  std::string digest() const;
  /// Bytes of memory that the weights of each block take once they are loaded, from headers: see
  /// weight_bytes.cpp.
  std::vector<std::int64_t> block_bytes(Executor executor) const;
  /// The same of all blocks.
  std::int64_t weight_bytes(Executor executor) const;
  /// The most that they take while they are loaded.
  std::int64_t loading_bytes(Executor executor) const;

  ModelFacts facts;
  std::variant<SourceModel, CalibrationStore, Artifact> weights;
  std::vector<std::filesystem::path> files = {};  // of an artifact: those that were read
};

/// @throws Error{usage} that names the model and what makes scales; the same before and after the
/// weights are read
[[noreturn]] void refuse_int8_cache(const std::filesystem::path& model);

}  // namespace mquant
