// What part of a run's memory its samples may take.
#pragma once

#include "pipeline/estimate.h"
#include "pipeline/state_store.h"

namespace mquant {

/// Widest register of the blocks over tokens, or over vision rows, the logits aside: values a row.
std::int64_t widest_register(const ModelSpec& model, bool on_tokens);

/// What `memory_bytes` (0: half of what is free) leaves beside the libraries and the largest
/// block.
/// @param directory  on whose disk samples wait that do not fit
StateBudget state_budget(std::int64_t memory_bytes, const Estimate& sum,
                         const std::filesystem::path& directory = {});

/// What a calibration takes in all, where its samples have such a budget.
std::int64_t peak_bytes(const Estimate& sum, const StateBudget& budget);
/// Of samples on disk.
std::int64_t spilled_bytes(const Estimate& sum, const StateBudget& budget);

}  // namespace mquant
