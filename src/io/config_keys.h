// Keys of config.json that more than one folder names.
#pragma once

namespace mquant {

/// What loaders believe of a checkpoint's weights.  Here the tensors decide; artifacts write it.
inline constexpr const char* kQuantization = "quantization_config";

}  // namespace mquant
