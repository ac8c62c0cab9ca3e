// calibrate-scales: MSQ.  One static scale of a group's input for each class of tokens.
//
// One look at the inputs counts, for each class, the minimum, the maximum and a histogram of |x|; the scale is then
// chosen by the class's rule.  Visual tokens are many times larger than text in some layers: one scale for both rounds
// the text away.  Clipping visual tokens is what costs most, hence `max` is their default.
// Source: MQuant, arXiv 2502.00425, section 3.1 and table 1.
//
// writes  scales of the group's inputs, for the passes after it
#include <array>

#include "mquant/error.h"
#include "mquant/pass.h"
#include "passes/entry.h"
#include "passes/group_facts.h"
#include "passes/group_inputs.h"
#include "passes/scale_rule.h"
#include "quant/error.h"
#include "quant/observer.h"

namespace mquant {
namespace {

struct CalibrateScalesOptions {
  enum class Granularity { per_class, per_tensor } granularity = Granularity::per_class;
  ScaleRule visual = ScaleRule::max, text = ScaleRule::max, sink = ScaleRule::max;
  Percentile percentile;
  int scale_bits = 16;

  void bind(OptionBinder& options) {
    options.choice("granularity", granularity, "one scale for each token class, or one for all",
                   {{"per_class", Granularity::per_class}, {"per_tensor", Granularity::per_tensor}});
    options.choice("visual", visual, "rule for visual tokens", kScaleRules);
    options.choice("text", text, "rule for text tokens, and for all with per_tensor", kScaleRules);
    options.choice("sink", sink, "rule for sink tokens", kScaleRules);
    percentile.bind(options);
    options.choice("scale_dtype", scale_bits, "scales are rounded up to it", {{"bf16", 16}, {"f32", 32}});
  }
};

class CalibrateScales final : public Pass {
 public:
  using Options = CalibrateScalesOptions;
  explicit CalibrateScales(const Options& options)
      : per_tensor_(options.granularity == Options::Granularity::per_tensor) {
    const auto set_rule = [&](TokenClass c, ScaleRule rule) {
      rules_[static_cast<std::size_t>(c)] = {rule, options.percentile.share(), options.scale_bits};
    };
    set_rule(TokenClass::visual, options.visual);
    set_rule(TokenClass::text, options.text);
    set_rule(TokenClass::sink, options.sink);
  }

  void run_group(Block& block, const LinearGroup& group, GroupInputs& inputs, GroupFacts& facts,
                 PassContext& ctx) override {
    if (ctx.scheme(block.spec()).activation_bits != 8) return;
    const std::vector<Observer> observed = observe(inputs, facts.split_channels());
    InputScales chosen{.scales = scales_of(observed[0]), .of_split = {}};
    for (std::size_t i = 1; i < observed.size(); ++i) chosen.of_split.push_back(scales_of(observed[i]));
    for (const TokenClass c : kAllTokenClasses) note_class(c, observed[0].of(c), group, chosen.scales, ctx);
    facts.provide(ctx, std::move(chosen));
  }

 private:
  /// Of all channels but the split ones, then of each of those alone.
  static std::vector<Observer> observe(GroupInputs& inputs, const std::vector<std::int64_t>& split) {
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
    for (const TokenClass c : kAllTokenClasses) {
      const auto i = static_cast<std::size_t>(c);
      if (observer.of(c).rows > 0) scales.scale[i] = choose_scale(observer.of(c), rules_[i]);
    }
    return scales;
  }

  bool per_tensor_;
  std::array<ScaleOptions, kTokenClasses> rules_;
};

}  // namespace

extern const PassInfo calibrate_scales_pass = entry<CalibrateScales>({
    .name = "calibrate-scales",
    .effect = Effect::approximates,
    .summary = "Choose the static input scales of each token class (MSQ)",
    .provides = {Fact::input_scales},
    .precedes = {Fact::codes},
});

}  // namespace mquant
