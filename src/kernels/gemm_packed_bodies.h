// What the bodies of gemm_packed share: each computes the raw sums of one panel, offsets included.
#pragma once

#include <cstdint>

#include "kernels/gemm_packed.h"

namespace mquant::packed {

/// One panel against some rows.  sums[r * kPanelOutputs + o] = sum_i a[r, i] (code[o, i] + offset).
struct PanelProblem {
  const std::int8_t* a = nullptr;  // [rows, groups * kGroupInputs]
  std::int64_t rows = 0;
  const std::uint8_t* panel = nullptr;  // [groups][planes][kPlaneBytes]
  std::int64_t groups = 0, planes = 0;
  std::int32_t* sums = nullptr;  // [rows, kPanelOutputs]
  GemmScratch* scratch = nullptr;
  std::int64_t stride() const { return groups * kGroupInputs; }
};

void sums_portable(const PanelProblem& p);
#if defined(__x86_64__)
void sums_avx2(const PanelProblem& p);
void sums_avx512(const PanelProblem& p);
#endif

}  // namespace mquant::packed
