// A quantized weight in the layout that the integer kernels read: half a byte a weight for int4, a byte for int8.
//
// Outputs stand in panels of 32, inputs in groups of 32, both padded.  A group of a panel is one plane of 512 bytes for
// int4, two for int8: code = nibble - 8, or 16 high + low - 128.  Nibbles are unsigned, so products with signed bytes fit
// vpmaddubsw without saturation (15 * 127 * 2 * 8 < 2^15) and vpdpbusd; what the offset adds is taken off by the sum of
// the row's codes.  In a plane, step s holds inputs 4s .. 4s + 3:
//   byte 64 s + 4 j + d        low nibble  output j, input 4s + d         high nibble  output j + 8      (j < 8)
//   byte 64 s + 32 + 4 j + d   low nibble  output 16 + j, input 4s + d    high nibble  output 24 + j
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace mquant {

inline constexpr std::int64_t kPanelOutputs = 32, kGroupInputs = 32, kPlaneBytes = 512;

/// Columns that a row of codes takes in memory: the inputs and zeros up to a whole group.
std::int64_t padded_inputs(std::int64_t in);

class PackedWeight {
 public:
  PackedWeight() = default;
  /// @param codes  [out, in], of 4 bits in [-8, 7] or of 8 bits in [-127, 127]
  /// @throws Error{internal} for other bits, sizes that do not fit, or a code out of range;
  ///         Error{unsupported} for more inputs than an int32 sum holds
  PackedWeight(std::span<const std::int8_t> codes, std::int64_t out, std::int64_t in, int bits);

  std::int64_t out() const { return out_; }
  std::int64_t in() const { return in_; }
  int bits() const { return bits_; }
  std::int64_t planes() const { return bits_ / 4; }
  std::int64_t panels() const { return (out_ + kPanelOutputs - 1) / kPanelOutputs; }
  std::int64_t groups() const { return (in_ + kGroupInputs - 1) / kGroupInputs; }
  /// [groups][planes][kPlaneBytes]
  const std::uint8_t* panel(std::int64_t p) const { return bytes_.get() + p * panel_bytes(); }
  std::int64_t panel_bytes() const { return groups() * planes() * kPlaneBytes; }
  std::int64_t bytes() const { return panels() * panel_bytes(); }
  /// What must be taken off a sum for each unit of the sum of the row's codes.
  std::int32_t offset() const { return bits_ == 4 ? 8 : 128; }
  /// Code of one weight, for tests and the portable body.
  std::int8_t code(std::int64_t output, std::int64_t input) const;

 private:
  struct Free {
    void operator()(std::uint8_t* bytes) const;
  };
  std::unique_ptr<std::uint8_t[], Free> bytes_;  // aligned to 64
  std::int64_t out_ = 0, in_ = 0;
  int bits_ = 4;
};

}  // namespace mquant
