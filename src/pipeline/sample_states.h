// The samples between two blocks: where they start, and how a run goes on with them after a kill.
#pragma once

#include <string>
#include <vector>

#include "mquant/artifact.h"
#include "mquant/block.h"

namespace mquant {

/// All samples before the first block.
std::vector<SampleState> initial_states(const std::vector<Features>& features);

/// Writes every register of every sample into NAME.safetensors of the store's state directory; returns the file's name.
std::string save_states(const CalibrationStore& store, const std::string& name,
                        const std::vector<SampleState>& states);

/// Reads such a file, written after the block `done`, into states that stand at the start: one for each sample, their
/// registers replaced.  @throws Error{input} for anything that save_states does not write
void load_states(const CalibrationStore& store, const std::string& name, const BlockSpec& done,
                 std::vector<SampleState>& states);

}  // namespace mquant
