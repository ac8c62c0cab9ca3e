// Runs a test on each level of instructions that this processor has.
#pragma once

#include <gtest/gtest.h>

#include <vector>

#include "kernels/cpu.h"

namespace mquant::test {

inline std::vector<CpuLevel> cpu_levels() {
  std::vector<CpuLevel> levels;
  for (const CpuLevel level : {CpuLevel::portable, CpuLevel::avx2, CpuLevel::avx512})
    if (level <= best_cpu_level()) levels.push_back(level);
  return levels;
}

/// Calls work() on each level and expects the same result, by ==, as on the portable one; returns that.
template <class Work>
auto same_on_all_levels(Work&& work) {
  const CpuLevel before = cpu_level();
  set_cpu_level(CpuLevel::portable);
  const auto expected = work();
  for (const CpuLevel level : cpu_levels()) {
    set_cpu_level(level);
    EXPECT_TRUE(work() == expected) << cpu_level_name(level) << " differs from portable";
  }
  set_cpu_level(before);
  return expected;
}

}  // namespace mquant::test
