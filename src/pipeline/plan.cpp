// What calibrate would do, from headers and samples: schemes, bytes, memory, time.
//
// Time is counted in floating point operations, at the rate of a product that is timed here and now.
#include <ATen/ops/ones.h>

#include <algorithm>

#include "mquant/compile.h"
#include "mquant/pass_table.h"
#include "pipeline/estimate.h"
#include "pipeline/identity.h"
#include "pipeline/memory_budget.h"
#include "pipeline/preflight.h"
#include "pipeline/streams.h"
#include "support/sha256.h"
#include "support/timer.h"

namespace mquant {
namespace {

constexpr std::size_t kShownPrompts = 3;

/// Floating point operations a second of a matrix product, on the threads that are set.
double measured_rate() {
  const at::Tensor a = at::ones({512, 512}, at::kFloat);
  at::Tensor c = a.matmul(a);
  const Stopwatch watch;
  constexpr int kTimes = 8;
  for (int i = 0; i < kTimes; ++i) c = a.matmul(a);
  return kTimes * 2.0 * 512 * 512 * 512 / std::max(1e-6, watch.seconds());
}

}  // namespace

Plan plan_model(const PlanOptions& options) {
  apply(options.run);
  const Preflight work = preflight(options);
  const SourceModel& source = work.source;
  const Estimate sum = estimate(source, work.recipe, work.features);
  Plan plan{.family = source.family->name,
            .summary = source.family->summary,
            .model_type = source.config.model_type(),
            .blocks = sum.blocks,
            .exemptions = source.model.exemptions};
  for (const PassConfig& pass : work.recipe.passes) plan.passes.push_back(pass.name);
  plan.streams = stream_plans(work.recipe, source.model);
  plan.parameters = sum.parameters;
  plan.source_bytes = sum.source_bytes;
  plan.artifact_bytes = sum.artifact_bytes;
  const StateBudget budget = state_budget(options.memory_bytes, sum);
  plan.calibration_bytes = sum.calibration_bytes + spilled_bytes(sum, budget);
  plan.peak_bytes = peak_bytes(sum, budget);
  plan.seconds = sum.operations / measured_rate();
  plan.samples = std::ssize(work.samples);
  if (plan.samples > 0) plan.tokens = count_tokens(work.features);
  for (std::size_t i = 0; i < std::min(kShownPrompts, work.samples.size()); ++i)
    plan.prompts.push_back(source.processor->prompt(work.samples[i]));
  plan.digests["recipe"] = sha256_hex(work.recipe.json);
  if (!source.stated.text.empty()) plan.digests["chat_template"] = sha256_hex(source.stated.text);
  if (!options.data.empty()) plan.digests["data"] = data_digest(work.samples);
  if (options.digest_model) plan.digests["model"] = checkpoint_digest(source);
  return plan;
}

}  // namespace mquant
