// The formats, one file each; registry.cpp lists them.
#pragma once

#include <string>
#include <vector>

#include "artifact/coding.h"
#include "mquant/artifact.h"

namespace mquant {

std::vector<std::string> compressed_tensors_refuses(const FormatQuestion& question);
void write_compressed_tensors(const ExportInput& input, const std::filesystem::path& directory);
std::vector<std::string> mquant_refuses(const FormatQuestion& question);
void write_mquant(const ExportInput& input, const std::filesystem::path& directory);

/// By name alone, for readers; null if there is none.
const FormatInfo* format_named(const std::string& name);

/// The scales' type in a compressed-tensors artifact: that of the source's weights.
DType weight_dtype(const Checkpoint& source, const ModelSpec& model);

}  // namespace mquant
