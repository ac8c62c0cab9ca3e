// What GLM-4V and CogVLM2 share: EVA2-CLIP's square pictures, joined 2 x 2, between two learned rows.
#pragma once

#include "families/processor.h"
#include "mquant/config.h"

namespace mquant {

/// Layout, normalization, tiling and shared positions, from vision_config.
/// @throws Error{input} if the picture is not made of whole 2 x 2 patches.
void set_eva_picture(ProcessorSpec& spec, const Config& config);
/// Rows of a picture: one for 2 x 2 patches, one before and one behind them.
std::int64_t eva_rows(const Config& config);

}  // namespace mquant
