// calibrate-scales: MSQ.  One static scale of a group's input for each class of tokens.
//
// For each class the minimum, the maximum and a histogram of |x| are collected; the scale is then chosen by the class's
// rule.  Visual tokens are many times larger than text in some layers: one scale for both rounds
// the text away.  Clipping visual tokens is what costs most, hence `max` is their default.
// Source: MQuant, arXiv 2502.00425, section 3.1 and table 1.
//
// writes  scales of the group's inputs, for the passes after it
#include <array>

#include "mquant/error.h"
#include "mquant/pass.h"
#include "passes/collected.h"
#include "passes/entry.h"
#include "passes/group_facts.h"
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

  Request wants(const Block& block, const LinearGroup&, const Collected& collected, const GroupFacts& facts,
                const PassContext& ctx) const override {
    if (ctx.scheme(block.spec()).activation_bits != 8 || collected.histogram) return {};
    return {.class_histogram = true, .split = facts.split_channels()};
  }

  void decide(Block& block, const LinearGroup& group, Collected& collected, GroupFacts& facts,
              PassContext& ctx) override {
    if (ctx.scheme(block.spec()).activation_bits != 8) return;
    const ClassHistogram& seen = collected.histogram.value();
    InputScales chosen{.scales = scales_of(seen.inputs), .of_split = {}};
    for (const Observer& channel : seen.of_split) chosen.of_split.push_back(scales_of(channel));
    for (const TokenClass c : kAllTokenClasses) note_class(c, seen.inputs.of(c), group, chosen.scales, ctx);
    facts.provide(ctx, std::move(chosen));
  }

 private:
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
