// What part of a run's memory its samples may take.
#pragma once

#include "pipeline/preflight.h"
#include "pipeline/state_store.h"

namespace mquant {

/// Widest register of the blocks over tokens, or over vision rows, the logits aside: values a row.
std::int64_t widest_register(const ModelSpec& model, bool on_tokens);

/// What `options.memory_bytes` (0: half of what is free) leaves beside the libraries and the
/// largest block.
/// @param directory  on whose disk samples wait that do not fit
StateBudget state_budget(const CalibrateOptions& options, const Preflight& work,
                         const std::filesystem::path& directory);

}  // namespace mquant
