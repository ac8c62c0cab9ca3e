// What both formats do: blocks to shards, other tensors and sidecars copied, config.json edited, the manifest last.
#pragma once

#include <filesystem>
#include <string>

#include "artifact/coding.h"
#include "artifact/fields.h"
#include "mquant/artifact.h"

namespace mquant {

/// Writes an artifact into the empty `directory`; see FormatInfo::write.
/// @param quantization_config  of config.json
void write_files(const ExportInput& input, const FormatInfo& format, const Dialect& dialect,
                 const OrderedJson& quantization_config, const std::filesystem::path& directory);

/// Official names as the source checkpoint has them.
OfficialNames names_in(const Checkpoint& source, const ModelSpec& model);

/// Type of the tensor `name`; f32 if the source does not have it.
DType dtype_in(const Checkpoint& source, const std::string& name);

}  // namespace mquant
