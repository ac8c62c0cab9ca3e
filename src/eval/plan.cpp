// What an evaluation would do, from headers and samples.
//
// Memory is that of the libraries and the larger of two: what loading takes (weight_bytes.cpp), and
// the weights of the model and of the reference with, for each thread, the most that one sample
// takes.  That is its pixels, the key-value caches of its tokens, and
//   in a block, the registers: the widest input and what the linears make, and the pixels again in
//   the first block
//   at the head, what both models' heads read and kLogitRows rows of their logits
#include <ATen/Parallel.h>

#include <algorithm>

#include "eval/prepare.h"
#include "eval/sample_run.h"
#include "mquant/compile.h"
#include "pipeline/estimate.h"
#include "pipeline/identity.h"

namespace mquant {
namespace {

constexpr std::int64_t kFloat = 4;

std::int64_t registers_of(const BlockSpec& spec, const SampleSize& size) {
  std::int64_t widest = 0, made = 0;
  for (const LinearSpec& linear : spec.linears) {
    widest = std::max(widest, linear.in);
    made += linear.out;
  }
  return (spec.on_tokens ? size.tokens : size.vision_rows) * (widest + made) * kFloat;
}

/// Keys and values of all blocks for one token.
std::int64_t cache_of_token(const ModelSpec& model, bool int8) {
  std::int64_t values = 0;
  for (const BlockSpec& spec : model.blocks)
    if (spec.has_kv_cache()) values += 2 * spec.attention.kv_heads * spec.attention.head_dim;
  return values * (int8 ? 1 : kFloat);
}

std::int64_t bytes_of(const SampleSize& size, const EvalWork& work, const EvalOptions& options,
                      std::int64_t cached_token) {
  const ModelSpec& model = *work.model.facts.spec;
  std::int64_t in_blocks = 0;
  for (const BlockSpec& spec : model.blocks)
    if (spec.name != "head") in_blocks = std::max(in_blocks, registers_of(spec, size));
  const std::int64_t rows = std::min(kLogitRows, work.reference ? size.tokens : size.answer_tokens + 1),
                     head = (work.reference ? 2 : 1) * kFloat *
                            (size.tokens * model.decoder_width + rows * model.vocabulary),
                     prompt = size.tokens - size.answer_tokens,
                     cached = std::max(size.tokens, prompt + options.max_new_tokens);
  return size.pixels * kFloat + cached * cached_token + std::max(in_blocks + size.pixels * kFloat, head);
}

std::int64_t peak_bytes(const EvalWork& work, const EvalOptions& options) {
  const bool int8 = options.kv_cache != KvCacheType::float32 && work.model.has_kv_scales();
  const std::int64_t cached_token = cache_of_token(*work.model.facts.spec, int8);
  std::int64_t largest = 0;
  for (const SampleSize& size : work.sizes)
    largest = std::max(largest, bytes_of(size, work, options, cached_token));
  const auto threads = std::min<std::int64_t>(at::get_num_threads(), std::ssize(work.samples));
  std::int64_t weights = work.model.weight_bytes(options.executor),
               loading = work.model.loading_bytes(options.executor);
  if (work.reference) {
    loading = std::max(loading, weights + work.reference->loading_bytes(options.executor));
    weights += work.reference->weight_bytes(options.executor);
  }
  return kLibraryBytes + std::max(loading, weights + threads * largest);
}

}  // namespace

EvalPlan plan_evaluation(const EvalOptions& options) {
  apply(options.run);
  const EvalWork work = prepare(options);
  EvalPlan plan{.samples = std::ssize(work.samples), .answers = work.answers, .tokens = work.tokens};
  plan.longest = std::ranges::max(work.sizes, {}, &SampleSize::tokens).tokens;
  plan.digest = data_digest(work.samples);
  plan.weight_bytes = work.model.weight_bytes(options.executor);
  plan.peak_bytes = peak_bytes(work, options);
  return plan;
}

}  // namespace mquant
