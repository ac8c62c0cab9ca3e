// round: weights to integer codes, rounded to nearest or with the errors of earlier columns
// compensated (GPTQ).
//
// GPTQ's Hessian is that of the group's inputs as the integer product sees them: 8-bit codes times
// the scale of their class, so that it is a sum of integers, exact in any order.  With `inputs`
// float, and where inputs have no scales, it is that of the floats.  Linears of one group share
// it. Visual tokens have many times the energy of text at the last linear of an MLP, sinks
// thousands of times; either would have the Hessian to itself.  With `tokens` balanced each class
// has a fixed part in it (the idea of MBQ, arXiv 2412.19509, without gradients). Source: GPTQ,
// arXiv 2210.17323; Hessians of quantized activations: Qronos, arXiv 2505.11695, among others.
//
// writes codes and scales of every linear of the group; of embeddings and head in 8 bits without
// looking at inputs
#include "model/ends.h"
#include "mquant/pass.h"
#include "nn/tensors.h"
#include "passes/collected.h"
#include "passes/entry.h"
#include "passes/group_facts.h"
#include "quant/error.h"
#include "quant/gptq.h"
#include "quant/round_to_nearest.h"

namespace mquant {
namespace {

/// The columns that suppress keeps apart are zeros among the codes.
at::Tensor without_columns(const at::Tensor& weight, const std::vector<std::int64_t>& columns) {
  return columns.empty() ? weight : weight.index_fill(1, index_tensor(columns), 0);
}

/// Parts of text, visual and sink tokens in a balanced Hessian.  Errors on text tokens cost a
/// model's answers most (MBQ, arXiv 2412.19509, finds gradients ten times those of visual tokens).
constexpr ByClass kClassParts = {3, 1, 1};

struct RoundOptions {
  enum class Method { rtn, gptq } method = Method::gptq;
  enum class Inputs { quantized, real } inputs = Inputs::quantized;
  enum class Tokens { balanced, equal } tokens = Tokens::balanced;
  GptqOptions factor;
  RoundingOptions rounding;

  void bind(OptionBinder& options) {
    options.choice("method", method, "rounded to nearest, or with errors compensated by later columns",
                   {{"rtn", Method::rtn}, {"gptq", Method::gptq}});
    options.flag("clip", rounding.search_clip,
                 "search the row's scale for the least error of 2.4th power; else max|w|");
    options.choice("inputs", inputs,
                   "GPTQ's Hessian: of 8-bit inputs as codes, or as the floats that they were",
                   {{"quantized", Inputs::quantized}, {"float", Inputs::real}});
    options.choice("tokens", tokens,
                   "GPTQ's Hessian: token classes with fixed parts (text 3, visual 1, sinks 1), or every "
                   "token with one weight",
                   {{"balanced", Tokens::balanced}, {"equal", Tokens::equal}});
    options.number("damping", factor.damping,
                   "part of the mean of the Hessian's diagonal that is added to it; width over rows of "
                   "calibration comes on top",
                   {.above = 0, .at_most = 1});
    options.flag("act_order", factor.act_order, "columns with the largest inputs first");
    options.choice("scale_dtype", rounding.scale_bits,
                   "weight scales are rounded to it before codes are computed", {{"bf16", 16}, {"f32", 32}});
  }
};

class Round final : public Pass {
 public:
  using Options = RoundOptions;
  explicit Round(const Options& options)
      : gptq_(options.method == Options::Method::gptq),
        quantized_inputs_(options.inputs == Options::Inputs::quantized),
        balanced_(options.tokens == Options::Tokens::balanced),
        factor_options_(options.factor),
        rounding_(options.rounding) {}

  void run_weights(Block& block, PassContext& ctx) override {
    const QuantScheme scheme = ctx.scheme(block.spec());
    for (const LinearSpec& spec : block.spec().linears)
      if (!spec.stays_float) {
        Linear& linear = block.linear(spec.name);
        linear.quantized = to_nearest(spec.name, linear.weight, scheme, ctx);
      }
    for (const ParamSpec& spec : block.spec().params)
      if (is_embedding(block.spec(), spec.name))
        block.embeddings[spec.name] = to_nearest(spec.name, block.param(spec.name), scheme, ctx);
  }

  Request wants(const Block& block, const LinearGroup&, const Collected& collected, const GroupFacts& facts,
                const PassContext& ctx) const override {
    const QuantScheme scheme = ctx.scheme(block.spec());
    if (!compensates(scheme) || collected.second_moment) return {};
    if (!collected.histogram) return {.class_histogram = true, .split = facts.split_channels()};
    SecondMomentRequest request{.weights = class_weights(collected.histogram->energies()), .scales = {}};
    if (quantized_inputs_ && scheme.activation_bits == 8) request.scales = facts.get<InputScales>().scales;
    return {.second_moment = request};
  }

  void decide(Block& block, const LinearGroup& group, Collected& collected, GroupFacts& facts,
              PassContext& ctx) override {
    const QuantScheme scheme = ctx.scheme(block.spec());
    if (scheme.is_float()) return;
    const InputScales* scales = scheme.activation_bits == 8 ? &facts.get<InputScales>() : nullptr;
    const SplitChannels* split = facts.find<SplitChannels>();
    const std::vector<std::int64_t> split_channels = facts.split_channels();
    GptqFactor factor;
    if (compensates(scheme)) {
      SecondMoment moment = std::move(collected.second_moment).value();
      collected.second_moment.reset();
      const GptqOptions options = options_for(moment);
      factor = prepared(std::move(moment), options, split_channels);
    }
    for (const std::string& name : group.linears) {
      Linear& linear = block.linear(name);
      const at::Tensor weight = without_columns(linear.weight, split_channels);
      auto quantized = std::make_shared<QuantizedLinear>(rounded(name, weight, scheme, factor, ctx));
      quantized->scheme = scheme;
      if (scales != nullptr) quantized->input_scales = scales->scales;
      note_weight_error(name, weight, *quantized, ctx);
      if (split != nullptr) {
        quantized->split = split->columns.at(name);
        if (quantized->split.quantized && scales != nullptr)  // else they stay float
          quantized->split.input_scales = scales->of_split;
      }
      if (compensates(scheme)) ctx.note(name, "damping", factor.damping);
      linear.quantized = quantized;
    }
  }

 private:
  static GptqFactor prepared(SecondMoment moment, const GptqOptions& options,
                             const std::vector<std::int64_t>& split) {
    if (moment.codes != nullptr)
      return prepare_hessian(std::move(*moment.codes), moment.unit, options, split);
    return prepare_hessian(moment.floats->take(), options, split);
  }

  bool compensates(const QuantScheme& scheme) const { return gptq_ && scheme.weight_bits < 16; }

  std::shared_ptr<const QuantizedLinear> to_nearest(const std::string& name, const at::Tensor& weight,
                                                    const QuantScheme& scheme, PassContext& ctx) const {
    auto quantized = std::make_shared<QuantizedLinear>(round_to_nearest(weight, scheme, rounding_));
    note_weight_error(name, weight, *quantized, ctx);
    return quantized;
  }

  QuantizedLinear rounded(const std::string& name, const at::Tensor& weight, const QuantScheme& scheme,
                          const GptqFactor& factor, PassContext& ctx) const {
    if (scheme.weight_bits == 16) return {.out = weight.size(0), .in = weight.size(1)};
    if (!gptq_) return round_to_nearest(weight, scheme, rounding_);
    GptqResult result = gptq(weight, factor, scheme, rounding_);
    if (result.output_sqnr_db) ctx.note(name, "output_sqnr_db", *result.output_sqnr_db);
    return std::move(result.linear);
  }

  /// Second moments of few rows are known badly, and GPTQ compensates the error of a column by
  /// them.  So they are shrunk towards a multiple of the identity, by the width over the rows
  /// (shrinkage: Ledoit and Wolf, 2004).
  GptqOptions options_for(const SecondMoment& sum) const {
    GptqOptions options = factor_options_;
    options.damping +=
        static_cast<double>(sum.width()) / static_cast<double>(std::max<std::int64_t>(sum.rows(), 1));
    options.damping = std::min(options.damping, 1.0);
    return options;
  }

  /// Of the rows of each class.  Balanced: each class has its part in the Hessian's trace, the
  /// mean over all rows' energy is 1.  Sinks are a few directions of enormous energy; they never
  /// have more of the trace than the others together.
  ByClass class_weights(const ByClass& energy) const {
    double total = 0, parts = 0;
    for (std::size_t c = 0; c < energy.size(); ++c) {
      total += energy[c];
      if (energy[c] > 0) parts += kClassParts[c];
    }
    ByClass weights = {1, 1, 1};
    for (std::size_t c = 0; balanced_ && c < energy.size(); ++c)
      if (energy[c] > 0) weights[c] = total * kClassParts[c] / (parts * energy[c]);
    constexpr auto kSink = static_cast<std::size_t>(TokenClass::sink);
    if (const double sinks = energy[kSink]; !balanced_ && sinks > total / 2 && total > sinks)
      weights[kSink] = (total - sinks) / sinks;
    return weights;
  }

  static void note_weight_error(const std::string& name, const at::Tensor& weight,
                                const QuantizedLinear& quantized, PassContext& ctx) {
    if (!quantized.codes.empty()) ctx.note(name, "weight_sqnr_db", weight_sqnr_db(weight, quantized));
  }

  bool gptq_, quantized_inputs_, balanced_;
  GptqOptions factor_options_;
  RoundingOptions rounding_;
};

}  // namespace

extern const PassInfo round_pass = entry<Round>({
    .name = "round",
    .effect = Effect::approximates,
    .summary = "Convert weights to integer codes, rounded to nearest or by GPTQ",
    .provides = {Fact::codes},
});

}  // namespace mquant
