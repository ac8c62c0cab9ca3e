#include "pipeline/memory_budget.h"

#include <algorithm>

#include "support/memory.h"

namespace mquant {
namespace {

constexpr std::int64_t kMebi = std::int64_t{1} << 20;
/// A smaller batch leaves threads without work; a larger one makes none busier.
constexpr std::int64_t kLeastBatch = 16 * kMebi, kMostBatch = 256 * kMebi;
constexpr std::int64_t kRegistersInHand = 4;  // of a batch while it runs, each as wide as the widest

}  // namespace

std::int64_t widest_register(const ModelSpec& model, bool on_tokens) {
  std::int64_t widest = on_tokens ? model.decoder_width : model.vision_width;
  for (const BlockSpec& spec : model.blocks) {
    if (spec.on_tokens != on_tokens || &spec == &model.blocks.back()) continue;
    for (const LinearSpec& linear : spec.linears) widest = std::max({widest, linear.in, linear.out});
  }
  return widest;
}

StateBudget state_budget(std::int64_t memory_bytes, const Estimate& sum,
                         const std::filesystem::path& directory) {
  const std::int64_t all = memory_bytes > 0 ? memory_bytes : available_memory() / 2;
  const std::int64_t left = all - kLibraryBytes - sum.block_bytes;
  const std::int64_t batch = std::clamp(left / 16, kLeastBatch, kMostBatch);
  return {.memory_bytes = std::max<std::int64_t>(0, left - kRegistersInHand * batch),
          .batch_bytes = batch,
          .directory = directory};
}

std::int64_t peak_bytes(const Estimate& sum, const StateBudget& budget) {
  return kLibraryBytes + sum.block_bytes + std::min(sum.state_bytes, budget.memory_bytes) +
         std::min(sum.state_bytes, kRegistersInHand * budget.batch_bytes);
}

std::int64_t spilled_bytes(const Estimate& sum, const StateBudget& budget) {
  return std::max<std::int64_t>(0, sum.state_bytes - budget.memory_bytes);
}

}  // namespace mquant
