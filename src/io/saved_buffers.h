// Tensors of checkpoints that no loader reads.
#pragma once

#include <algorithm>
#include <array>
#include <string_view>

namespace mquant {

/// A buffer that older releases of transformers saved, and that loaders compute anew.
inline bool is_saved_buffer(std::string_view name) {
  constexpr std::array<std::string_view, 4> kLastWords = {"inv_freq", "position_ids", "masked_bias",
                                                          "num_batches_tracked"};
  return std::ranges::find(kLastWords, name.substr(name.rfind('.') + 1)) != kLastWords.end();
}

}  // namespace mquant
