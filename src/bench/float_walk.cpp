#include "bench/float_walk.h"

#include <ATen/ops/rms_norm.h>
#include <ATen/ops/zeros.h>

#include "bench/float_block.h"
#include "bench/workload.h"
#include "eval/loaded_model.h"
#include "mquant/error.h"
#include "nn/tensors.h"
#include "support/timer.h"

namespace mquant {
namespace {

BenchStage stage_of(Op op) {
  if (op == Op::linear) return BenchStage::linears;
  return op == Op::attention ? BenchStage::attention : BenchStage::rest;
}

/// One step: what nn computes with its own kernels or with several operators is one of ATen's here, embeddings keep the
/// type of their table.
at::Tensor float_step(const Block& block, SampleState& state, const Step& step,
                      const FloatAttention& attention, FloatCache* cache) {
  const auto in = [&](std::size_t i) { return state.registers.at(step.in[i]); };
  if (step.op == Op::attention) return attention.run(state, in(0), in(1), in(2), cache);
  if (step.op == Op::embed)
    return block.param(step.name).index_select(0, index_tensor(state.features->input_ids));
  if (step.op == Op::norm) {
    const NormWeights& norm = block.norm(step.name);
    if (norm.kind == NormKind::rms && !norm.shift.defined()) {
      const at::Tensor x = in(0);
      const std::int64_t width = block.spec().norm(step.name).width;
      const std::optional<at::Tensor> scale = norm.scale.defined() ? std::optional(norm.scale) : std::nullopt;
      return at::rms_norm(x.view({-1, width}), {width}, scale, norm.eps).view(x.sizes());
    }
  }
  return run_step(block, state, step);
}

BenchSeconds run_float(const Block& block, SampleState& state, const FloatAttention& attention,
                       FloatCache* cache) {
  BenchSeconds seconds;
  const std::vector<Step>& steps = block.spec().steps;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const std::vector<std::string> unused = unused_registers(block.spec(), i + 1);
    const Stopwatch watch;
    at::Tensor result = float_step(block, state, steps[i], attention, cache);
    if (result.defined()) state.registers[steps[i].out] = std::move(result);
    for (const std::string& name : unused) state.registers.erase(name);
    seconds[stage_of(steps[i].op)] += watch.seconds();
  }
  return seconds;
}

void add(PassSeconds& pass, Tower tower, const BenchSeconds& seconds) {
  BenchSeconds& sum = tower == Tower::decoder ? pass.decoder : pass.vision;
  for (const BenchStage stage : kBenchStages) sum[stage] += seconds[stage];
}

/// The head sees the last row of each sequence.
void keep_last_rows(SampleState& state, std::int64_t batch) {
  at::Tensor& x = state.registers["x"];
  x = x.view({batch, -1, x.size(1)}).select(1, x.size(0) / batch - 1).contiguous();
}

/// Blocks smaller than this many times the caches might be found there by the next step.
constexpr std::int64_t kCachesABlock = 4;

}  // namespace

FloatWalk::FloatWalk(const FloatPlan& plan, const std::vector<FloatTrack>& tracks)
    : plan_(plan), prompt_(merged(*plan.prompt, plan.batch)) {
  for (std::int64_t i = 0; i < plan.decode_tokens; ++i)
    steps_.push_back(merged(decode_step(*plan.prompt, decoded_token(i, plan.vocabulary), i), plan.batch));
  for (const FloatTrack& track : tracks) {
    Run run{.track = track, .prompt = start(prompt_, track.dtype)};
    for (std::size_t i = 0; i < steps_.size(); ++i) {
      run.steps.push_back(start(steps_[i], track.dtype));
      run.steps.back().past = static_cast<std::int64_t>(plan.prompt->input_ids.size() + i);
    }
    run.prefills.resize(static_cast<std::size_t>(track.prefills));
    run.decodes.resize(static_cast<std::size_t>(track.decodes));
    runs_.push_back(std::move(run));
  }
}

FloatWalk::Work FloatWalk::work_of(Run& run, const Block& block) const {
  const BlockSpec& spec = block.spec();
  Work work{.run = &run,
            .block = narrowed(block, run.track.dtype),
            .prompt_attention = {block, run.prompt, plan_.batch, run.track.dtype}};
  if (!spec.on_tokens) return work;
  for (const SampleState& step : run.steps)
    work.step_attention.emplace_back(block, step, plan_.batch, run.track.dtype);
  if (!spec.has_kv_cache()) return work;
  const auto tokens = static_cast<std::int64_t>(plan_.prompt->input_ids.size()) + plan_.decode_tokens;
  const std::int64_t width = spec.attention.kv_heads * spec.attention.head_dim;
  work.cache = {at::zeros({plan_.batch, tokens, width}, run.track.dtype),
                at::zeros({plan_.batch, tokens, width}, run.track.dtype)};
  return work;
}

void FloatWalk::prefill(Work& work, std::int64_t repetition) const {
  Run& run = *work.run;
  SampleState state = run.prompt;
  if (work.block.spec().name == "head") keep_last_rows(state, plan_.batch);
  FloatCache* cache = work.cache.keys.defined() ? &work.cache : nullptr;
  add(run.prefills[static_cast<std::size_t>(repetition)], work.block.spec().tower,
      run_float(work.block, state, work.prompt_attention, cache));
  if (repetition + 1 == run.track.prefills) run.prompt = std::move(state);
}

void FloatWalk::decode(Work& work, std::int64_t repetition, bool flush) const {
  Run& run = *work.run;
  FloatCache* cache = work.cache.keys.defined() ? &work.cache : nullptr;
  for (std::size_t i = 0; i < run.steps.size(); ++i) {
    SampleState state = run.steps[i];
    if (flush) flush_.run();
    add(run.decodes[static_cast<std::size_t>(repetition)], work.block.spec().tower,
        run_float(work.block, state, work.step_attention[i], cache));
    if (repetition + 1 == run.track.decodes) run.steps[i] = std::move(state);
  }
}

void FloatWalk::run(const Block& block) {
  const BlockSpec& spec = block.spec();
  if (!takes_part(spec, prompt_)) return;
  std::vector<Work> works;
  std::int64_t repetitions = 0;
  for (Run& run : runs_) {
    works.push_back(work_of(run, block));
    repetitions = std::max({repetitions, run.track.prefills, run.track.decodes});
  }
  for (std::int64_t i = 0; i < repetitions; ++i)
    for (Work& work : works)
      if (i < work.run->track.prefills) prefill(work, i);
  if (!spec.on_tokens) return;
  for (Work& work : works)
    if (work.run->track.prefills == 0 && work.cache.keys.defined()) {
      work.cache.keys.copy_(works.front().cache.keys);
      work.cache.values.copy_(works.front().cache.values);
    }
  for (std::int64_t i = 0; i < repetitions; ++i)
    for (Work& work : works)
      if (i < work.run->track.decodes)
        decode(work, i, plan_.from_memory && bytes_of(work.block) < kCachesABlock * cache_bytes());
}

const at::Tensor& FloatWalk::logits(std::size_t track) const {
  return runs_.at(track).prompt.registers.at("logits");
}

at::Tensor FloatWalk::decoded_logits(std::size_t track, std::int64_t step) const {
  return runs_.at(track).steps.at(static_cast<std::size_t>(step)).registers.at("logits");
}

}  // namespace mquant
