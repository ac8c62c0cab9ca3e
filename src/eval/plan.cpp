// What an evaluation would do, from headers and samples.
//
// Memory is the sum of
//   the libraries
//   the weights of the model, and of the reference, as they are held
//   the pixels of all samples, once for the prompt and once for prompt and answer
//   for each thread, the most that one sample takes: the registers of one block, which are its
//   widest input and what its linears make; at the head the logits of all its tokens, of both
//   models, and 64 rows of them in float64, five times; or the key-value caches of the prompt and
//   of the tokens that are decoded
// What loading takes for a moment is not in it.
#include <ATen/Parallel.h>

#include <algorithm>

#include "eval/prepare.h"
#include "mquant/compile.h"
#include "pipeline/estimate.h"
#include "pipeline/identity.h"

namespace mquant {
namespace {

constexpr std::int64_t kFloat = 4, kRowsInDouble = 64 * 8 * 5;

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
  const std::int64_t logits = model.vocabulary * (size.tokens * kFloat + kRowsInDouble);
  std::int64_t most = 0, most_but_head = 0;
  for (const BlockSpec& spec : model.blocks) {
    const std::int64_t registers = registers_of(spec, size);
    most = std::max(most, registers);
    if (spec.name != "head") most_but_head = std::max(most_but_head, registers);
  }
  const std::int64_t compared = most + logits * (work.reference ? 2 : 1),
                     decoded = most_but_head + cached_token * (size.tokens + options.max_new_tokens);
  return std::max(compared, decoded);
}

std::int64_t peak_bytes(const EvalWork& work, const EvalOptions& options, std::int64_t weights) {
  const bool int8 = options.kv_cache != KvCacheType::float32 && work.model.has_kv_scales();
  const std::int64_t cached_token = cache_of_token(*work.model.facts.spec, int8);
  std::int64_t pixels = 0, largest = 0;
  for (const SampleSize& size : work.sizes) {
    pixels += 2 * size.pixels * kFloat;
    largest = std::max(largest, bytes_of(size, work, options, cached_token));
  }
  const auto threads = std::min<std::int64_t>(at::get_num_threads(), std::ssize(work.samples));
  return kLibraryBytes + weights + pixels + threads * largest;
}

}  // namespace

EvalPlan plan_evaluation(const EvalOptions& options) {
  apply(options.run);
  const EvalWork work = prepare(options);
  EvalPlan plan{.samples = std::ssize(work.samples), .answers = work.answers, .tokens = work.tokens};
  plan.longest = std::ranges::max(work.sizes, {}, &SampleSize::tokens).tokens;
  plan.digest = data_digest(work.samples);
  plan.weight_bytes = work.model.weight_bytes(options.executor);
  std::int64_t weights = plan.weight_bytes;
  if (work.reference) weights += work.reference->weight_bytes(options.executor);
  plan.peak_bytes = peak_bytes(work, options, weights);
  return plan;
}

}  // namespace mquant
