#include "kernels/cpu.h"

#include <gtest/gtest.h>

#include "mquant/error.h"

namespace mquant {
namespace {

TEST(Cpu, LevelCanBeSetToAnyThatTheProcessorHas) {
  const CpuLevel before = cpu_level();
  set_cpu_level(CpuLevel::portable);
  EXPECT_EQ(cpu_level(), CpuLevel::portable);
  set_cpu_level(best_cpu_level());
  EXPECT_EQ(cpu_level(), best_cpu_level());
  set_cpu_level(before);
}

TEST(Cpu, LevelBeyondTheProcessorIsRefused) {
  if (best_cpu_level() == CpuLevel::avx512) GTEST_SKIP() << "this processor has every level";
  EXPECT_THROW(set_cpu_level(CpuLevel::avx512), Error);
}

TEST(Cpu, LevelsHaveTheNamesOfTheEnvironmentVariable) {
  EXPECT_EQ(cpu_level_name(CpuLevel::portable), "portable");
  EXPECT_EQ(cpu_level_name(CpuLevel::avx2), "avx2");
  EXPECT_EQ(cpu_level_name(CpuLevel::avx512), "avx512");
}

}  // namespace
}  // namespace mquant
