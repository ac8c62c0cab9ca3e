// The samples between two blocks, on disk: how a run continues with them after a kill.
#pragma once

#include <string>
#include <vector>

#include "mquant/artifact.h"
#include "mquant/block.h"
#include "pipeline/state_store.h"

namespace mquant {

/// A file that was written into the state directory, durably.
struct WrittenState {
  std::string file, digest;  // SHA-256
};

/// Writes every register of every sample, batch by batch, into NAME.safetensors of the store's
/// state directory.
WrittenState save_states(const CalibrationStore& store, const std::string& name, const StateStore& states);
/// The same of states in memory.
WrittenState save_states(const CalibrationStore& store, const std::string& name,
                         const std::vector<SampleState>& states);

/// Reads such a file, written after the block `done`, into states that stand at the start: their
/// registers replaced.
/// @throws Error{input} for anything that save_states does not write
void load_states(const CalibrationStore& store, const std::string& name, const BlockSpec& done,
                 StateStore& states);
void load_states(const CalibrationStore& store, const std::string& name, const BlockSpec& done,
                 std::vector<SampleState>& states);

}  // namespace mquant
