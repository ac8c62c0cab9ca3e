// Bytes, memory and work, from headers and features alone.
//
// The estimates are sums over the description.  Memory is that of the libraries, the samples'
// pixels and states, and of the largest block: its weights in float64, a copy while they are
// rotated, one in float32, the codes, the Hessian and its factor, and the registers of
// all samples.
#include "pipeline/estimate.h"

#include <algorithm>

#include "model/ends.h"
#include "pipeline/head_tie.h"
#include "support/checked.h"

namespace mquant {
namespace {

constexpr std::int64_t kCheckedRows = 128;                    // tokens whose logits the self-check compares
constexpr std::int64_t kRunsOfEnd = std::int64_t{300} << 20;  // a run of rows, in all its forms
constexpr std::int64_t kAssumedTokens = 128 * 1024;  // when no data is given: 128 samples of 1024 tokens

/// @param unpacked  grows by what the codes take more in a calibration, which has a byte for each
BlockPlan plan_block(const BlockSpec& spec, const QuantScheme& scheme, std::int64_t float_size,
                     const HeadTie& tie, std::int64_t& unpacked) {
  BlockPlan plan{.name = spec.name, .scheme = scheme.name(), .parameters = parameters_of(spec)};
  std::int64_t floats = plan.parameters, codes = 0;
  const auto coded = [&](std::int64_t rows, std::int64_t columns) {
    floats -= rows * columns;
    codes += rows * columns * scheme.weight_bits / 8 + rows * 4;  // a scale a row
    unpacked += rows * columns * (8 - scheme.weight_bits) / 8;
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

/// Weights; without split columns there is a second copy of them while they are rounded.
std::int64_t largest_linear(const BlockSpec& spec) {
  std::int64_t largest = 0;
  for (const LinearSpec& linear : spec.linears) largest = std::max(largest, linear.out * linear.in);
  return largest;
}

/// What a block takes while it is worked on, samples aside.
/// @param compensated  rounded with a Hessian of its inputs
/// @param in_runs      an end that is worked on in runs of rows: it is held as it is stored, and
///                     once more to run samples
std::int64_t block_bytes(const BlockSpec& spec, const QuantScheme& scheme, bool compensated, bool in_runs) {
  const std::int64_t parameters = parameters_of(spec), widest = widest_input(spec);
  if (in_runs) {
    const std::int64_t logits = spec.params.empty() ? 6 * kCheckedRows * spec.linears.back().out * 4 : 0;
    return kRunsOfEnd + parameters * (scheme.weight_bits == 16 ? 4 : 2) + logits;
  }
  // In float64 beside the self-check's float32; later in float32 with codes, second moment and
  // factor.
  const std::int64_t folding = parameters * (8 + 4), rounding = parameters * (4 + 1) +
                                                                largest_linear(spec) * (4 + 1) +
                                                                (compensated ? 2 * widest * widest * 4 : 0);
  return std::max(folding, rounding);
}

/// Of all samples where they stand before the widest group of a block, and as they were at its
/// input.
std::int64_t standing_bytes(const ModelSpec& model, const BlockSpec& spec, const Load& load) {
  const std::int64_t stream = spec.on_tokens ? model.decoder_width : model.vision_width;
  return 4 * load.rows(spec) * (2 * stream + widest_input(spec));
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
    sum += rows * in * in + 2 * in * in * in;  // Hessian, its factor
  }
  return sum;
}

}  // namespace

std::int64_t parameters_of(const BlockSpec& spec) {
  std::int64_t n = 0;
  for (const LinearSpec& linear : spec.linears) n += linear.out * linear.in + (linear.bias ? linear.out : 0);
  for (const NormSpec& norm : spec.norms) n += norm.width * ((norm.weight ? 1 : 0) + (norm.bias ? 1 : 0));
  for (const ParamSpec& param : spec.params) n += checked_product(param.shape);
  return n;
}

Estimate estimate(const SourceModel& source, const Recipe& recipe, const std::vector<Features>& features) {
  Load load{kAssumedTokens, 4 * kAssumedTokens};
  if (!features.empty()) load = {};
  for (const Features& f : features) {
    load.tokens += std::ssize(f.input_ids);
    load.visual_rows += std::ssize(f.patches);
  }
  const std::int64_t float_size = byte_size(stored_dtype(source));
  const HeadTie tie = head_tie(source, recipe);
  Estimate sum;
  std::int64_t unpacked = 0;
  for (const BlockSpec& spec : source.model.blocks) {
    const QuantScheme scheme = recipe.scheme_of(spec.name);
    const BlockPlan block = plan_block(spec, scheme, float_size, tie, unpacked);
    const bool quantized = !scheme.is_float(),
               compensated = quantized && !rounds_without_inputs(spec, scheme);
    sum.parameters += block.parameters;
    sum.source_bytes += block.float_bytes;
    sum.artifact_bytes += block.artifact_bytes;
    const bool in_runs = rows_of_end(spec) > 0 && !compensated && recipe.calibration.quantized;
    sum.block_bytes = std::max(sum.block_bytes, block_bytes(spec, scheme, compensated, in_runs));
    if (&spec != &source.model.blocks.back())
      sum.state_bytes = std::max(sum.state_bytes, standing_bytes(source.model, spec, load));
    sum.operations += operations(spec, compensated, load);
    sum.blocks.push_back(block);
  }
  const std::int64_t state =
      4 * std::max(load.tokens * source.model.decoder_width, load.visual_rows * source.model.vision_width);
  sum.calibration_bytes =
      sum.artifact_bytes + unpacked + 2 * state;  // that of a block is removed when the next one's is there
  return sum;
}

}  // namespace mquant
