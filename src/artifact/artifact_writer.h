// What both formats do: blocks to shards, other tensors and sidecars copied, config.json edited, the manifest last.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "artifact/coding.h"
#include "artifact/fields.h"
#include "mquant/artifact.h"

namespace mquant {

/// What a format adds to that.
struct Layout {
  const FormatInfo* format = nullptr;
  Dialect dialect;
  OrderedJson quantization_config;  // of config.json
};

/// Writes an artifact into the empty `directory`; see FormatInfo::write.
void write_files(const ExportInput& input, const Layout& layout, const std::filesystem::path& directory);

/// Official names as the source checkpoint has them.
OfficialNames names_in(const Checkpoint& source, const ModelSpec& model);

/// Type of the tensor `name`; f32 if the source does not have it.
DType dtype_in(const Checkpoint& source, const std::string& name);

}  // namespace mquant
