// Quantization schemes and their results: plain structs, owned bytes, no libtorch.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "mquant/sample.h"

namespace mquant {

/// How one linear is quantized.  Codes are signed and symmetric: int4 in [-8, 7], int8 in [-127, 127].
struct QuantScheme {
  int weight_bits = 16;      ///< 4 or 8; 16: float
  int activation_bits = 16;  ///< 8; 16: float
  bool is_float() const { return weight_bits == 16 && activation_bits == 16; }
  std::string name() const;  ///< "w4a8", "w8a8", "w4a16", "float"
};
/// "w4a8", "w8a8", "w4a16", "w8a16", "w16a8", "float".  Throws Error{usage} for others.
QuantScheme parse_scheme(const std::string& text);

/// A static scale for each token class.  A class that calibration never saw has none: running it is an error.
struct ClassScales {
  std::array<std::optional<float>, kTokenClasses> scale;
  const std::optional<float>& of(TokenClass c) const { return scale[static_cast<std::size_t>(c)]; }
};

/// R4: x' = x D H / sqrt(n) on each run of `block` columns; D the signs (all +1 if empty), H = H_order (x) Sylvester.
/// Its inverse is folded into the weight, so the product does not change.
struct OnlineRotation {
  std::int64_t size = 0;           ///< columns in all; 0: no rotation
  std::int64_t block = 0;          ///< order of one Hadamard matrix; size % block == 0
  std::vector<std::int8_t> signs;  ///< [size] of +-1, or empty
  explicit operator bool() const { return size != 0; }
};

/// RMS: input channels kept apart from the int4 matrix, whose columns there are zero.
///   y[o] += sum_k  x_k * weight_k[o]   with x_k and weight_k int8 or float.
struct SplitColumns {
  std::vector<std::int64_t> channels;  ///< [k], ascending, of the rotated input
  bool quantized = true;            ///< int8 columns and activations; else float32 columns, float activations
  std::vector<std::int8_t> codes;   ///< [k, out]
  std::vector<float> weight_scale;  ///< [k]
  std::vector<float> values;        ///< [k, out] when not quantized
  std::vector<ClassScales> input_scales;  ///< [k] when quantized
  bool empty() const { return channels.empty(); }
};

/// One linear after rounding:  y = s_x(class) * s_w[o] * sum_i q_x[i] q_w[o, i]  +  split columns  +  bias.
struct QuantizedLinear {
  std::int64_t out = 0, in = 0;
  QuantScheme scheme;
  std::vector<std::int8_t> codes;   ///< [out, in]
  std::vector<float> weight_scale;  ///< [out], real units per step
  ClassScales input_scales;         ///< empty when activation_bits == 16
  SplitColumns split;
};

/// Static scales of one block's int8 key-value cache:  code = clamp(round_half_even(x / scale), -127, 127), of keys
/// behind the rotary embedding and of values.
struct KvScales {
  std::int64_t kv_heads = 0, head_dim = 0;
  std::vector<float> keys, values;  ///< [kv_heads]: of each head, or [kv_heads * head_dim]: of each channel
};

}  // namespace mquant
