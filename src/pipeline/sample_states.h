// The samples between two blocks: where they start, and how a run goes on with them after a kill.
#pragma once

#include <string>
#include <vector>

#include "mquant/artifact.h"
#include "mquant/block.h"

namespace mquant {

/// All samples before the first block.
std::vector<SampleState> initial_states(const std::vector<Features>& features);

/// Writes every register of every sample into the store's state directory; returns the file names.
std::vector<std::string> save_states(const CalibrationStore& store, const std::string& block,
                                     const std::vector<SampleState>& states);

/// The states after the last durable block.
std::vector<SampleState> load_states(const CalibrationStore& store, const std::vector<Features>& features);

}  // namespace mquant
