// Rounding a row of weights to integer codes, and what clipping it would cost.
#pragma once

#include <cstdint>
#include <span>

namespace mquant {

/// Codes of a weight: [-8, 7] or [-127, 127].
struct CodeRange {
  int low = 0, high = 0;
};
/// @throws Error{internal} for other bits than 4 and 8
CodeRange code_range(int bits);

/// codes[i] = clamp(w[i] / scale rounded to nearest, ties to even).
void round_row(std::span<const float> w, float scale, const CodeRange& range, std::int8_t* codes);

/// The exponent of the error that a clip search minimizes.  Source: GPTQ, the authors' code.
inline constexpr double kClipNorm = 2.4;

/// sum_i |code_i scale - w_i|^2.4, to 1e-5 relative; infinity as soon as it is known to exceed
/// `give_up`.
double clip_error(std::span<const float> w, float scale, const CodeRange& range, double give_up);

}  // namespace mquant
