// smooth: move activation outliers of a group's input channels into its weights (SmoothQuant).
//
// x_j / s_j and W_j * s_j keep the product; s_j = max|x_j|^alpha / max|W_j|^(1 - alpha) balances the two.  1 / s goes
// into the norm before the group, so only groups that read a norm are smoothed, and none whose input is rotated online.
// Source: SmoothQuant, arXiv 2211.10438, equation 4.  A baseline here: rotations do better on W4A8.
//
// keeps  the group's output
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>

#include <algorithm>

#include "mquant/pass.h"
#include "passes/collected.h"
#include "passes/entry.h"
#include "passes/group_facts.h"

namespace mquant {
namespace {

constexpr double kFloor = 1e-5;

struct SmoothOptions {
  double alpha = 0.5;

  void bind(OptionBinder& options) {
    options.number("alpha", alpha, "how much of an outlier goes into the weight", {.above = 0, .below = 1});
  }
};

class Smooth final : public Pass {
 public:
  using Options = SmoothOptions;
  explicit Smooth(const Options& options) : alpha_(options.alpha) {}

  Request wants(const Block& block, const LinearGroup& group, const Collected& collected, const GroupFacts&,
                const PassContext& ctx) const override {
    return {.channel_max = !collected.channel_max && can_smooth(block, group, ctx)};
  }

  void decide(Block& block, const LinearGroup& group, Collected& collected, GroupFacts& facts,
              PassContext& ctx) override {
    if (!can_smooth(block, group, ctx)) return;
    const LinearSpec& first = block.spec().linear(group.linears.front());
    at::Tensor weight_max = at::full({first.in}, kFloor, at::kFloat);
    for (const std::string& name : group.linears)
      weight_max = weight_max.maximum(block.linear(name).weight.abs().amax(0));
    const at::Tensor factors =
        (input_max(collected).pow(alpha_) / weight_max.pow(1 - alpha_)).clamp_min(kFloor);
    for (const std::string& name : group.linears) {
      at::Tensor& weight = block.linear(name).weight;
      weight = weight * factors;
    }
    NormWeights& norm = block.norm(first.norm);
    norm.scale = norm.scale.defined() ? norm.scale / factors : factors.reciprocal();
    if (norm.shift.defined()) norm.shift = norm.shift / factors;
    facts.provide(ctx, SmoothedInputs{factors.reciprocal()});
    ctx.count("groups_smoothed");
  }

 private:
  static bool can_smooth(const Block& block, const LinearGroup& group, const PassContext& ctx) {
    const BlockSpec& spec = block.spec();
    const LinearSpec& first = spec.linear(group.linears.front());
    if (first.norm.empty() || ctx.scheme(spec).activation_bits != 8) return false;
    if (block.linear(first.name).rotation) return false;  // a factor of the norm is none of the rotated input
    if (first.in != spec.norm(first.norm).width) return false;  // several patches share one norm scale
    // Experts that share a norm would see each other's factors.
    return std::ranges::none_of(spec.linears, [&](const LinearSpec& linear) {
      return linear.norm == first.norm &&
             std::ranges::find(group.linears, linear.name) == group.linears.end();
    });
  }

  static at::Tensor input_max(const Collected& collected) {
    const std::vector<float>& largest = collected.channel_max.value();
    at::Tensor x = at::empty({std::ssize(largest)}, at::kFloat);
    std::ranges::copy(largest, x.data_ptr<float>());
    return x.clamp_min(kFloor);
  }

  double alpha_;
};

}  // namespace

extern const PassInfo smooth_pass = entry<Smooth>({
    .name = "smooth",
    .effect = Effect::approximates,
    .summary = "Move outliers of input channels into the weights (SmoothQuant), a baseline",
    .provides = {Fact::smoothed_inputs},
    .precedes = {Fact::split_columns, Fact::input_scales, Fact::codes},
});

}  // namespace mquant
