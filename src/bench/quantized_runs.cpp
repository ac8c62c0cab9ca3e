#include "bench/quantized_runs.h"

#include <algorithm>

#include "bench/workload.h"
#include "mquant/error.h"
#include "support/timer.h"

namespace mquant {
namespace {

Scaling scaling_of(BenchVariant variant) {
  switch (variant) {
    case BenchVariant::dynamic: return Scaling::dynamic;
    case BenchVariant::one_static: return Scaling::one_static;
    case BenchVariant::gathered: return Scaling::gathered;
    case BenchVariant::aifs: return Scaling::segments;
    case BenchVariant::float32:
    case BenchVariant::bfloat16: break;
  }
  fail(ErrorKind::internal, bench_variant_name(variant), " is no quantized variant");
}

BenchStage stage_of(Stage stage) {
  switch (stage) {
    case Stage::quantize: return BenchStage::quantize;
    case Stage::linears: return BenchStage::linears;
    case Stage::hadamard: return BenchStage::hadamard;
    case Stage::attention: return BenchStage::attention;
    case Stage::rest: break;
  }
  return BenchStage::rest;
}

void add(BenchSeconds& sum, const StageSeconds& seconds) {
  for (std::size_t i = 0; i < kStages; ++i) sum[stage_of(static_cast<Stage>(i))] += seconds[i];
}

}  // namespace

QuantizedRuns::QuantizedRuns(LoadedModel& model, const Features& prompt, std::int64_t batch,
                             std::int64_t decode_tokens)
    : model_(&model), prompt_(&prompt), batch_(batch), decode_tokens_(decode_tokens) {}

void QuantizedRuns::timed(const Features& features, std::int64_t past, PassSeconds& sum) {
  std::vector<Sequence> sequences;
  for (std::vector<KvCache>& caches : caches_) sequences.push_back({&features, &caches, past});
  StageClock clock;
  model_->mode.clock = &clock;
  const Stopwatch watch;
  model_->logits(sequences, LogitRows::last);
  const double seconds = watch.seconds();
  model_->mode.clock = nullptr;
  PassSeconds pass;
  add(pass.vision, clock.of(Tower::vision));
  add(pass.vision, clock.of(Tower::projector));
  add(pass.decoder, clock.of(Tower::decoder));
  // What lies between blocks: the order of tokens, the choice of rows, registers made and dropped.
  pass.decoder[BenchStage::rest] += std::max(0.0, seconds - pass.total());
  for (const BenchStage stage : kBenchStages) {
    sum.vision[stage] += pass.vision[stage];
    sum.decoder[stage] += pass.decoder[stage];
  }
}

QuantizedRuns::Passes QuantizedRuns::run(BenchVariant variant) {
  model_->mode.scaling = scaling_of(variant);
  model_->order_tokens = variant == BenchVariant::aifs;
  const auto tokens = static_cast<std::int64_t>(prompt_->input_ids.size());
  caches_.clear();
  for (std::int64_t i = 0; i < batch_; ++i) caches_.push_back(model_->make_caches(tokens + decode_tokens_));
  Passes passes;
  timed(*prompt_, 0, passes.prefill);
  for (std::int64_t i = 0; i < decode_tokens_; ++i)
    timed(decode_step(*prompt_, decoded_token(i, model_->spec().vocabulary), i), tokens + i, passes.decode);
  return passes;
}

}  // namespace mquant
