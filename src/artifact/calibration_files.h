// Where a calibration directory keeps a block.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

#include "artifact/stored_block.h"
#include "mquant/artifact.h"

namespace mquant {

struct BlockFiles {
  std::filesystem::path shard, record;
};
/// blocks/NNNN-NAME.safetensors and .json of the block that was done `index`-th, from 0.
BlockFiles block_files(const std::filesystem::path& directory, std::size_t index, const std::string& block);

/// CalibrationStore::read, or without the large tensors.
StoredBlock read_calibrated(const CalibrationStore& store, const std::string& block, Detail detail);

}  // namespace mquant
