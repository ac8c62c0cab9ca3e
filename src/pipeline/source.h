// A checkpoint opened for work: what it is, and how its inputs are made.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "mquant/checkpoint.h"
#include "mquant/compile.h"
#include "mquant/config.h"
#include "mquant/family.h"

namespace mquant {

struct SourceModel {
  std::filesystem::path directory;
  Config config;
  const Family* family = nullptr;
  ModelSpec model;
  Checkpoint checkpoint;
  std::unique_ptr<Processor> processor;
  std::vector<std::filesystem::path> opened;  // files that were read for these; shards not yet in use are not
  ChatTemplate stated;                        // in place of its own
  std::map<std::string, std::string> looked_up;  // WorkInputs::values of config.json
};

/// Opens a HuggingFace directory: config.json, weights, tokenizer and processor files.
/// @throws Error{unsupported} for an adapter, besides what readers and families throw
/// @param stated  a chat template in place of its own
SourceModel open_source(const std::filesystem::path& directory, const ChatTemplate& stated = {});

/// The dtype of most of the checkpoint's bytes that blocks describe: bf16, f16 or f32.
DType stored_dtype(const SourceModel& source);

/// Threads (0: all cores) and device.  Throws Error{unsupported} for a device other than "cpu".
void apply(const RunSettings& run);

enum class Pixels { kept, dropped };

/// Features of all samples, in order; several at a time.  An error names the sample; a token that has no row among the
/// embeddings of `model` is one, Error{input}.
/// @param pixels  dropped: `Features::pixels` is empty, and all else as if they were there
std::vector<Features> all_features(const Processor& processor, const ModelSpec& model,
                                   const std::vector<Sample>& samples, WithAnswer with_answer,
                                   const SinkRule& sinks = {}, Pixels pixels = Pixels::kept);

/// Tokens by class over all samples, and "visual_rows": rows of the vision tower.
std::map<std::string, std::int64_t> count_tokens(const std::vector<Features>& features);

}  // namespace mquant
