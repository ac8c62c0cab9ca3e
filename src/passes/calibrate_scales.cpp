// calibrate-scales: MSQ.  One static scale of a group's input for each class of tokens.
//
// One look at the inputs counts, for each class, the minimum, the maximum and a histogram of |x|; the scale is then
// chosen by the class's rule.  Visual tokens are many times larger than text in some layers: one scale for both rounds
// the text away.  Clipping visual tokens is what costs most, hence `max` is their default.
// Source: MQuant, arXiv 2502.00425, section 3.1 and table 1.
//
// writes  scales of the group's inputs, for `round` and the passes behind it
#include <array>

#include "mquant/error.h"
#include "mquant/pass.h"
#include "passes/group_inputs.h"
#include "passes/scale_rule.h"
#include "quant/error.h"
#include "quant/observer.h"

namespace mquant {
namespace {

ScaleOptions rule_of(const Config& options, std::string_view name) {
  ScaleOptions rule = scale_rule(options, name, "calibrate-scales");
  rule.scale_bits = options.string("scale_dtype") == "bf16" ? 16 : 32;
  return rule;
}

constexpr std::array kClasses = {TokenClass::text, TokenClass::visual, TokenClass::sink};

class CalibrateScales final : public Pass {
 public:
  explicit CalibrateScales(const Config& options)
      : per_tensor_(options.string("granularity") == "per_tensor") {
    for (const TokenClass c : kClasses)
      rules_[static_cast<std::size_t>(c)] = rule_of(options, token_class_name(c));
  }

  void run_group(Block& block, const LinearGroup& group, GroupInputs& inputs, PassContext& ctx) override {
    if (ctx.scheme(block.spec()).activation_bits != 8) return;
    const std::vector<Observer> observed = observe(inputs);
    inputs.scales = scales_of(observed[0]);
    for (std::size_t i = 1; i < observed.size(); ++i) inputs.split_scales.push_back(scales_of(observed[i]));
    inputs.has_scales = true;
    for (const TokenClass c : kClasses) note_class(c, observed[0].of(c), group, inputs.scales, ctx);
  }

 private:
  /// Of all channels but the split ones, then of each of those alone.
  static std::vector<Observer> observe(GroupInputs& inputs) {
    const std::vector<std::int64_t>& split = inputs.split_channels;
    std::vector<Observer> empty = {Observer(inputs.width())};
    empty.resize(1 + split.size(), Observer(1));
    std::vector<std::vector<Observer>> of_sample(inputs.samples(), empty);
    inputs.in_parallel([&](std::size_t sample, const at::Tensor& x, const std::vector<TokenClass>& classes) {
      of_sample[sample][0].add(x, classes, split);
      for (std::size_t i = 0; i < split.size(); ++i)
        of_sample[sample][1 + i].add(x.narrow(1, split[i], 1).contiguous(), classes);
    });
    for (const std::vector<Observer>& observed : of_sample)
      for (std::size_t i = 0; i < empty.size(); ++i) empty[i].merge(observed[i]);
    return empty;
  }

  static void note_class(TokenClass c, const ClassStatistics& values, const LinearGroup& group,
                         const ClassScales& scales, PassContext& ctx) {
    if (values.rows == 0) return;
    // With a scale beyond everything all values round to zero, and the error is the signal.
    const double signal = histogram_mse(values, 4.0 * values.absmax()),
                 noise = histogram_mse(values, *scales.of(c));
    for (const std::string& linear : group.linears) {
      ctx.note(linear, cat("input_absmax_", token_class_name(c)), values.absmax());
      if (signal > 0) ctx.note(linear, cat("input_sqnr_db_", token_class_name(c)), sqnr_db(signal, noise));
    }
  }

  ClassScales scales_of(const Observer& observer) const {
    ClassScales scales;
    if (per_tensor_) {
      const ClassStatistics total = observer.total();
      if (total.rows > 0)
        scales.scale.fill(choose_scale(total, rules_[static_cast<std::size_t>(TokenClass::text)]));
      return scales;
    }
    for (const TokenClass c : kClasses) {
      const auto i = static_cast<std::size_t>(c);
      if (observer.of(c).rows > 0) scales.scale[i] = choose_scale(observer.of(c), rules_[i]);
    }
    return scales;
  }

  bool per_tensor_;
  std::array<ScaleOptions, kTokenClasses> rules_;
};

}  // namespace

extern const PassInfo calibrate_scales_pass = {
    "calibrate-scales",
    Effect::approximates,
    "Choose the static input scales of each token class (MSQ)",
    {{"granularity",
      "\"per_class\"",
      "one scale for each token class, or one for all",
      {"per_class", "per_tensor"}},
     {"visual", "\"max\"", "rule for visual tokens", {"max", "mse", "percentile"}},
     {"text", "\"max\"", "rule for text tokens, and for all with per_tensor", {"max", "mse", "percentile"}},
     {"sink", "\"max\"", "rule for sink tokens", {"max", "mse", "percentile"}},
     {"percentile", "99.999", "of |x|, for the rule of that name"},
     {"scale_dtype", "\"bf16\"", "scales are rounded up to it", {"bf16", "f32"}}},
    [](const Config& options) -> std::unique_ptr<Pass> {
      return std::make_unique<CalibrateScales>(options);
    }};

}  // namespace mquant
