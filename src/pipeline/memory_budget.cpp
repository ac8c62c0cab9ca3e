#include "pipeline/memory_budget.h"

#include <algorithm>

#include "pipeline/estimate.h"
#include "support/memory.h"

namespace mquant {
namespace {

constexpr std::int64_t kMebi = std::int64_t{1} << 20;
/// A smaller batch leaves threads without work; a larger one makes none busier.
constexpr std::int64_t kLeastBatch = 16 * kMebi, kMostBatch = 256 * kMebi;
constexpr std::int64_t kBatchesInHand = 8;  // what one batch's registers take, in widest registers

}  // namespace

std::int64_t widest_register(const ModelSpec& model, bool on_tokens) {
  std::int64_t widest = on_tokens ? model.decoder_width : model.vision_width;
  for (const BlockSpec& spec : model.blocks) {
    if (spec.on_tokens != on_tokens || &spec == &model.blocks.back()) continue;
    for (const LinearSpec& linear : spec.linears) widest = std::max({widest, linear.in, linear.out});
  }
  return widest;
}

StateBudget state_budget(const CalibrateOptions& options, const Preflight& work,
                         const std::filesystem::path& directory) {
  const std::int64_t all = options.memory_bytes > 0 ? options.memory_bytes : available_memory() / 2;
  const Estimate sum = estimate(work.source, work.recipe, work.features);
  const std::int64_t left = all - kLibraryBytes - sum.block_bytes;
  const std::int64_t batch = std::clamp(left / kBatchesInHand / 2, kLeastBatch, kMostBatch);
  return {.memory_bytes = std::max<std::int64_t>(0, left - 2 * batch),
          .batch_bytes = batch,
          .directory = directory};
}

}  // namespace mquant
