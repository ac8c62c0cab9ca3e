// smooth: move activation outliers of a group's input channels into its weights (SmoothQuant).
//
// x_j / s_j and W_j * s_j keep the product; s_j = max|x_j|^alpha / max|W_j|^(1 - alpha) balances the two.  1 / s goes
// into the norm before the group, so only groups that read a norm are smoothed, and none whose input is rotated online.
// Source: SmoothQuant, arXiv 2211.10438, equation 4.  A baseline here: rotations do better on W4A8.
//
// keeps  the group's output
#include <ATen/ops/full.h>

#include <algorithm>
#include <mutex>

#include "mquant/pass.h"
#include "passes/entry.h"
#include "passes/group_inputs.h"

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

  void run_group(Block& block, const LinearGroup& group, GroupInputs& inputs, GroupFacts&,
                 PassContext& ctx) override {
    const BlockSpec& spec = block.spec();
    const LinearSpec& first = spec.linear(group.linears.front());
    if (first.norm.empty() || ctx.scheme(spec).activation_bits != 8) return;
    if (block.linear(first.name).rotation) return;        // a factor of the norm is none of the rotated input
    if (first.in != spec.norm(first.norm).width) return;  // several patches share one norm scale
    for (const LinearSpec& linear : spec.linears)
      if (linear.norm == first.norm && std::ranges::find(group.linears, linear.name) == group.linears.end())
        return;  // so do experts; the others would see the factors, too
    at::Tensor weight_max = at::full({first.in}, kFloor, at::kFloat);
    for (const std::string& name : group.linears)
      weight_max = weight_max.maximum(block.linear(name).weight.abs().amax(0));
    const at::Tensor factors = (input_max(inputs).pow(alpha_) / weight_max.pow(1 - alpha_)).clamp_min(kFloor);
    for (const std::string& name : group.linears) {
      at::Tensor& weight = block.linear(name).weight;
      weight = weight * factors;
    }
    NormWeights& norm = block.norm(first.norm);
    norm.scale = norm.scale.defined() ? norm.scale / factors : factors.reciprocal();
    if (norm.shift.defined()) norm.shift = norm.shift / factors;
    inputs.scale_columns(factors.reciprocal());
    ctx.count("groups_smoothed");
  }

 private:
  static at::Tensor input_max(GroupInputs& inputs) {
    at::Tensor largest = at::full({inputs.width()}, kFloor, at::kFloat);
    std::mutex mutex;
    inputs.in_parallel([&](std::size_t, const at::Tensor& x, const std::vector<TokenClass>&) {
      const at::Tensor of_sample = x.abs().amax(0);
      const std::lock_guard lock(mutex);
      largest = largest.maximum(of_sample);  // a maximum does not depend on the order
    });
    return largest;
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
