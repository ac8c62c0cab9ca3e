// Rounding float32 to what bfloat16 can hold, kept as float32: the stored type of scales.
#pragma once

#include <bit>
#include <cstdint>

namespace mquant {

/// Nearest, ties to even.  x finite; beyond the largest bfloat16 it becomes infinite, as in hardware.
inline float round_to_bfloat16(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  return std::bit_cast<float>((bits + 0x7fffU + ((bits >> 16) & 1U)) & 0xffff0000U);
}

/// The least bfloat16 that is not below x.  x finite, not negative.
inline float round_up_to_bfloat16(float x) {
  return std::bit_cast<float>((std::bit_cast<std::uint32_t>(x) + 0xffffU) & 0xffff0000U);
}

}  // namespace mquant
