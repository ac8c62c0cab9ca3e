#include "kernels/peaks.h"

#include <gtest/gtest.h>

#include <numeric>

#include "tests/unit/kernels/cpu_levels.h"

namespace mquant::test {
namespace {

TEST(ReadWords, SumsEveryWordOnceWhateverTheLength) {
  for (const std::size_t count : {0U, 1U, 31U, 32U, 33U, 1000U}) {
    std::vector<std::uint32_t> words(count);
    std::iota(words.begin(), words.end(), 4'000'000'000U);
    EXPECT_EQ(read_words(words), std::accumulate(words.begin(), words.end(), 0U)) << count;
  }
}

TEST(PeakLoops, ExistForEveryLevelOfThisProcessor) {
  for (const CpuLevel level : cpu_levels()) {
    std::vector<PeakLoop> loops = float32_peak_loops(level);
    ASSERT_FALSE(loops.empty()) << cpu_level_name(level);
    loops.push_back(integer_peak_loop(level));
    for (const PeakLoop& loop : loops) {
      EXPECT_FALSE(loop.instructions.empty()) << cpu_level_name(level);
      EXPECT_GT(loop.operations_a_round, 0) << loop.instructions;
      loop.run(3);  // an instruction that the processor lacks would end the test here
    }
  }
}

}  // namespace
}  // namespace mquant::test
