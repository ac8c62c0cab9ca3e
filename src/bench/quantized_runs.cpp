#include "bench/quantized_runs.h"

#include "bench/workload.h"
#include "support/timer.h"

namespace mquant {

QuantizedRuns::QuantizedRuns(LoadedModel& model, const Features& prompt, std::int64_t batch,
                             std::int64_t decode_tokens)
    : model_(&model), prompt_(&prompt), batch_(batch), decode_tokens_(decode_tokens) {}

std::string QuantizedRuns::refusal(BenchVariant variant) const {
  if (variant == BenchVariant::dynamic || variant == BenchVariant::one_static)
    return "this executor has static scales by class only";
  return "";
}

PassSeconds QuantizedRuns::timed(const Features& features, std::int64_t past) {
  PassSeconds pass;
  Stopwatch watch;
  const auto after = [&](const BlockSpec& spec, const SampleState&) {
    BenchSeconds& seconds = spec.tower == Tower::decoder ? pass.decoder : pass.vision;
    seconds[BenchStage::rest] += watch.seconds();
    watch.restart();
  };
  for (std::vector<KvCache>& caches : caches_) model_->logits(features, caches, past, LogitRows::last, after);
  return pass;
}

QuantizedRuns::Passes QuantizedRuns::run(BenchVariant variant) {
  model_->order_tokens = variant == BenchVariant::aifs;
  const auto tokens = static_cast<std::int64_t>(prompt_->input_ids.size());
  caches_.clear();
  for (std::int64_t i = 0; i < batch_; ++i) caches_.push_back(model_->make_caches(tokens + decode_tokens_));
  Passes passes{.prefill = timed(*prompt_, 0)};
  for (std::int64_t i = 0; i < decode_tokens_; ++i) {
    const Features step = decode_step(*prompt_, decoded_token(i, model_->spec().vocabulary), i);
    const PassSeconds seconds = timed(step, tokens + i);
    for (const BenchStage stage : kBenchStages) passes.decode.decoder[stage] += seconds.decoder[stage];
  }
  return passes;
}

}  // namespace mquant
