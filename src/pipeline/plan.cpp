// What calibrate would do, from headers alone: schemes, bytes, memory, time.
//
// The estimates are sums over the description.  Memory is the largest block: its weights in float64, a float32 copy,
// the codes, the Hessian with its factor and a copy, and the registers of all samples.  Time is counted in floating
// point operations, at the rate of a product that is timed here and now.
#include <ATen/ops/ones.h>

#include <algorithm>

#include "model/ends.h"
#include "mquant/compile.h"
#include "mquant/pass_table.h"
#include "mquant/recipe.h"
#include "pipeline/head_tie.h"
#include "pipeline/source.h"
#include "pipeline/streams.h"
#include "support/timer.h"

namespace mquant {
namespace {

constexpr std::size_t kShownPrompts = 3;
constexpr std::int64_t kAssumedTokens = 128 * 1024;  // when no data is given: 128 samples of 1024 tokens

std::int64_t product(const std::vector<std::int64_t>& shape) {
  std::int64_t n = 1;
  for (const std::int64_t s : shape) n *= s;
  return n;
}

std::int64_t all_parameters(const BlockSpec& spec) {
  std::int64_t n = 0;
  for (const LinearSpec& linear : spec.linears) n += linear.out * linear.in + (linear.bias ? linear.out : 0);
  for (const NormSpec& norm : spec.norms) n += norm.width * ((norm.weight ? 1 : 0) + (norm.bias ? 1 : 0));
  for (const ParamSpec& param : spec.params) n += product(param.shape);
  return n;
}

BlockPlan plan_block(const BlockSpec& spec, const QuantScheme& scheme, std::int64_t float_size,
                     const HeadTie& tie) {
  BlockPlan plan{.name = spec.name, .scheme = scheme.name(), .parameters = all_parameters(spec)};
  std::int64_t floats = plan.parameters, codes = 0;
  const auto coded = [&](std::int64_t rows, std::int64_t columns) {
    floats -= rows * columns;
    codes += rows * columns * scheme.weight_bits / 8 + rows * 4;  // a scale a row
  };
  for (const LinearSpec& linear : spec.linears) {
    const bool head = makes_logits(spec, linear.name);
    if (head && tie.in_source) plan.parameters -= linear.out * linear.in;
    if (head && tie.in_artifact) {
      floats -= linear.out * linear.in;
      plan.scheme = "tied";
    } else if (scheme.weight_bits < 16 && !linear.stays_float) {
      coded(linear.out, linear.in);
    }
  }
  for (const ParamSpec& param : spec.params)
    if (is_embedding(spec, param.name) && scheme.weight_bits < 16) coded(param.shape[0], param.shape[1]);
  plan.artifact_bytes = floats * float_size + codes;
  plan.float_bytes = plan.parameters * float_size;
  return plan;
}

/// Rows that a block's linears see, and the widths of its registers.
struct Load {
  std::int64_t tokens = 0, visual_rows = 0;
  std::int64_t rows(const BlockSpec& spec) const { return spec.on_tokens ? tokens : visual_rows; }
};

std::int64_t widest_input(const BlockSpec& spec) {
  std::int64_t widest = 0;
  for (const LinearSpec& linear : spec.linears) widest = std::max(widest, linear.in);
  return widest;
}

/// @param compensated  rounded with a Hessian of its inputs
/// @param checked      the self-check keeps a float head until the quantized one is there
std::int64_t peak_bytes(const BlockSpec& spec, bool quantized, bool compensated, bool checked,
                        const Load& load) {
  const std::int64_t widest = widest_input(spec);
  const std::int64_t kept = checked && spec.name == "head" ? 4 : 0;
  const std::int64_t weights = all_parameters(spec) * (8 + 4 + (quantized ? 1 : 0) + kept);
  const std::int64_t hessian = compensated ? 3 * widest * widest * 4 : 0;
  const std::int64_t standing = std::min<std::int64_t>(load.rows(spec) * widest * 4, std::int64_t{4} << 30);
  return weights + hessian + 2 * standing;
}

double operations(const BlockSpec& spec, bool compensated, const Load& load) {
  double sum = 0;
  const auto rows = static_cast<double>(load.rows(spec));
  for (const LinearSpec& linear : spec.linears) {
    const auto in = static_cast<double>(linear.in), out = static_cast<double>(linear.out);
    sum += 2 * rows * in * out;                 // forward
    if (compensated) sum += 2 * in * in * out;  // rounding with compensation
  }
  if (!compensated) return sum;
  for (const LinearGroup& group : linear_groups(spec)) {
    const auto in = static_cast<double>(spec.linear(group.linears[0]).in);
    sum += rows * in * in + 2 * in * in * in;  // Hessian, its factor and inverse
  }
  return sum;
}

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

Plan plan_model(const std::filesystem::path& model, const std::string& recipe_name,
                const std::vector<std::string>& overrides, const std::optional<std::filesystem::path>& data,
                std::int64_t limit, const RunSettings& run) {
  apply(run);
  Recipe recipe = load_recipe(recipe_name, overrides);
  const SourceModel source = open_source(model);
  settle_embeddings(recipe, source);
  Plan plan{.family = source.family->name,
            .summary = source.family->summary,
            .model_type = source.config.model_type(),
            .exemptions = source.model.exemptions};
  for (const PassConfig& pass : recipe.passes) plan.passes.push_back(pass.name);
  plan.streams = stream_plans(recipe, source.model);
  Load load{kAssumedTokens, 4 * kAssumedTokens};
  if (data) {
    const std::int64_t count = limit > 0 ? limit : recipe.calibration.samples;
    const std::vector<Sample> samples = read_samples(*data, count);
    const std::vector<Features> features = all_features(*source.processor, samples, WithAnswer::yes);
    plan.samples = static_cast<std::int64_t>(samples.size());
    plan.tokens = count_tokens(features);
    for (std::size_t i = 0; i < std::min(kShownPrompts, samples.size()); ++i)
      plan.prompts.push_back(source.processor->prompt(samples[i]));
    load = {0, plan.tokens["visual_rows"]};
    for (const Features& f : features) load.tokens += static_cast<std::int64_t>(f.input_ids.size());
  }
  const std::int64_t float_size = byte_size(stored_dtype(source));
  const HeadTie tie = head_tie(source, recipe);
  double work = 0;
  for (const BlockSpec& spec : source.model.blocks) {
    const QuantScheme scheme = recipe.scheme_of(spec.name);
    const BlockPlan block = plan_block(spec, scheme, float_size, tie);
    const bool quantized = !scheme.is_float(),
               compensated = quantized && !rounds_without_inputs(spec, scheme);
    plan.parameters += block.parameters;
    plan.source_bytes += block.float_bytes;
    plan.artifact_bytes += block.artifact_bytes;
    plan.peak_bytes = std::max(
        plan.peak_bytes, peak_bytes(spec, quantized, compensated, recipe.calibration.self_check > 0, load));
    work += operations(spec, compensated, load);
    plan.blocks.push_back(block);
  }
  plan.seconds = work / measured_rate();
  return plan;
}

}  // namespace mquant
