// Element types as files name them, and sizes that cannot overflow.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "mquant/checkpoint.h"

namespace mquant {

/// An element type of the safetensors format.
struct FileType {
  std::string_view name;
  int bits = 0;
  std::optional<DType> dtype;  // empty: a type that nothing here computes with
};

/// nullptr if there is none of that name.
const FileType* find_file_type(std::string_view name);

/// Bits of a tensor of that shape; nullopt if a size is negative or the product leaves 63 bits.
std::optional<std::int64_t> checked_bits(std::span<const std::int64_t> shape, std::int64_t bits);

}  // namespace mquant
