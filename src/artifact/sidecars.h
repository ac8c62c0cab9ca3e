// The files of a checkpoint beside its weights: tokenizer, processor, chat template, generation config, code.
#pragma once

#include <filesystem>
#include <vector>

#include "io/sharded_writer.h"
#include "mquant/checkpoint.h"

namespace mquant {

/// Copies every regular file of the source directory that is no weights, no index, not config.json and not hidden.
/// @returns their names and digests, sorted by name
/// @throws Error{resources} when the disk is full
std::vector<WrittenFile> copy_sidecars(const Checkpoint& source, const std::filesystem::path& directory);

}  // namespace mquant
