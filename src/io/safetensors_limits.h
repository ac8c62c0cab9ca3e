// Numbers that the reader and the writer of safetensors share.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mquant {

inline constexpr std::size_t kSafetensorsPrefix = 8;          // bytes of the header's length, little-endian
inline constexpr std::uint64_t kLongestHeader = 100'000'000;  // bytes; the official reader's limit
inline constexpr std::size_t kLongestTensorName = 1024;       // bytes; official names stay below 200
inline constexpr std::size_t kMostDimensions = 32;
inline constexpr const char* kMetadataKey = "__metadata__";

}  // namespace mquant
