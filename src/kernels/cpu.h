// Which instructions the kernels use: chosen once, at run time.
#pragma once

#include <string_view>

namespace mquant {

/// Each level includes the ones before it.  All of them compute the same bits.
enum class CpuLevel {
  portable,  ///< what every compiler target has
  avx2,      ///< AVX2 and FMA
  avx512,    ///< AVX-512 F, BW, DQ, VL and VNNI
};
std::string_view cpu_level_name(CpuLevel level);

/// The highest level that this processor has.
CpuLevel best_cpu_level();

/// The level in use: $MQUANT_CPU (portable, avx2, avx512) or the best.
/// @throws Error{usage} for another value of MQUANT_CPU, or one that this processor lacks
CpuLevel cpu_level();

/// Overrides $MQUANT_CPU, for tests and benchmarks.  @throws Error{usage} for a level that this processor lacks.
void set_cpu_level(CpuLevel level);

}  // namespace mquant
