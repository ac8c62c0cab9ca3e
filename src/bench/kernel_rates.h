// How fast the integer kernels are on the linears of a model, apart from everything around them.
#pragma once

#include <cstdint>
#include <vector>

#include "mquant/artifact.h"
#include "mquant/bench.h"
#include "mquant/model.h"

namespace mquant {

/// Rows of one phase.
struct KernelRows {
  BenchPhase phase = BenchPhase::prefill;
  std::int64_t vision = 0, tokens = 0;  // 0: not run
};

/// Times one product of each shape of quantized linears, on all threads, and libtorch's of a prefill.  A weight is read
/// from memory, as in a model.  The head and what stays float are left out.
std::vector<KernelReport> kernel_rates(const Artifact& artifact, const ModelSpec& model,
                                       const std::vector<KernelRows>& phases);

}  // namespace mquant
