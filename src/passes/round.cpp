// round: weights to integer codes, rounded to nearest or with the errors of earlier columns compensated (GPTQ).
//
// GPTQ's Hessian is that of the group's inputs, of which earlier blocks are quantized already; with `inputs` quantized
// their own 8-bit rounding counts, too (it measured worse on the test model).  Linears of one group share it.
// Visual tokens have many times the energy of text at the last linear of an MLP, sinks thousands of times; either would
// have the Hessian to itself.  With `tokens` balanced each class has a fixed part in it (the idea of MBQ, arXiv
// 2412.19509, without gradients).
// Source: GPTQ, arXiv 2210.17323; Hessians of quantized activations: Qronos, arXiv 2505.11695, among others.
//
// writes codes and scales of every linear of the group; of embeddings and head in 8 bits without looking at inputs
#include <array>
#include <optional>

#include "kernels/quantize_rows.h"
#include "model/ends.h"
#include "mquant/pass.h"
#include "nn/tensors.h"
#include "passes/entry.h"
#include "passes/group_facts.h"
#include "passes/group_inputs.h"
#include "quant/error.h"
#include "quant/gptq.h"
#include "quant/hessian.h"
#include "quant/round_to_nearest.h"

namespace mquant {
namespace {

/// x as the integer product sees it: codes times the scale of the row's class; split channels stay as they are.
at::Tensor seen_by_codes(const at::Tensor& x, const std::vector<TokenClass>& classes,
                         const ClassScales& scales) {
  at::Tensor seen = x.clone();
  std::vector<std::int8_t> codes(static_cast<std::size_t>(x.size(1)));
  for (std::int64_t r = 0; r < x.size(0); ++r) {
    const float scale = scales.of(classes[static_cast<std::size_t>(r)]).value();
    float* row = seen.data_ptr<float>() + r * x.size(1);
    quantize_rows(row, 1, x.size(1), x.size(1), {&scale, 1}, codes.data());
    for (std::size_t i = 0; i < codes.size(); ++i) row[i] = static_cast<float>(codes[i]) * scale;
  }
  return seen;
}

/// The columns that suppress keeps apart are zeros among the codes.
at::Tensor without_columns(const at::Tensor& weight, const std::vector<std::int64_t>& columns) {
  return columns.empty() ? weight : weight.index_fill(1, index_tensor(columns), 0);
}

using ClassWeights = std::array<float, kTokenClasses>;
/// Parts of text, visual and sink tokens in a balanced Hessian.  Errors on text tokens cost a model's answers most (MBQ, arXiv
/// 2412.19509, finds gradients ten times those of visual tokens).
constexpr std::array<double, kTokenClasses> kClassParts = {3, 1, 1};

struct RoundOptions {
  enum class Method { rtn, gptq } method = Method::gptq;
  enum class Inputs { quantized, real } inputs = Inputs::real;
  enum class Tokens { balanced, equal } tokens = Tokens::balanced;
  GptqOptions factor;
  RoundingOptions rounding;

  void bind(OptionBinder& options) {
    options.choice("method", method, "rounded to nearest, or with errors compensated by later columns",
                   {{"rtn", Method::rtn}, {"gptq", Method::gptq}});
    options.flag("clip", rounding.search_clip,
                 "search the row's scale for the least error of 2.4th power; else max|w|");
    options.choice("inputs", inputs, "GPTQ's Hessian: of inputs with or without their 8-bit rounding",
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

  void run_group(Block& block, const LinearGroup& group, GroupInputs& inputs, GroupFacts& facts,
                 PassContext& ctx) override {
    const QuantScheme scheme = ctx.scheme(block.spec());
    if (scheme.is_float()) return;
    const InputScales* scales = scheme.activation_bits == 8 ? &facts.get<InputScales>() : nullptr;
    const SplitChannels* split = facts.find<SplitChannels>();
    const std::vector<std::int64_t> split_channels = facts.split_channels();
    GptqFactor factor;
    if (gptq_ && scheme.weight_bits < 16) {
      HessianAccumulator sum = second_moments(inputs, quantized_inputs_ ? scales : nullptr);
      const GptqOptions options = options_for(sum);
      factor = prepare_hessian(sum.take(), options, split_channels);
    }
    for (const std::string& name : group.linears) {
      Linear& linear = block.linear(name);
      const at::Tensor weight = without_columns(linear.weight, split_channels);
      GptqResult result = rounded(weight, scheme, factor);
      auto quantized = std::make_shared<QuantizedLinear>(std::move(result.linear));
      quantized->scheme = scheme;
      if (scales != nullptr) quantized->input_scales = scales->scales;
      note_errors(name, weight, *quantized, result.output_sqnr_db, ctx);
      if (split != nullptr) {
        quantized->split = split->columns.at(name);
        if (quantized->split.quantized && scales != nullptr)  // else they stay float
          quantized->split.input_scales = scales->of_split;
      }
      if (gptq_ && scheme.weight_bits < 16) ctx.note(name, "damping", factor.damping);
      linear.quantized = quantized;
    }
  }

 private:
  std::shared_ptr<const QuantizedLinear> to_nearest(const std::string& name, const at::Tensor& weight,
                                                    const QuantScheme& scheme, PassContext& ctx) const {
    auto quantized = std::make_shared<QuantizedLinear>(round_to_nearest(weight, scheme, rounding_));
    note_errors(name, weight, *quantized, {}, ctx);
    return quantized;
  }

  GptqResult rounded(const at::Tensor& weight, const QuantScheme& scheme, const GptqFactor& factor) const {
    if (scheme.weight_bits == 16) return {.linear = {.out = weight.size(0), .in = weight.size(1)}};
    if (gptq_) return gptq(weight, factor, scheme, rounding_);
    return {.linear = round_to_nearest(weight, scheme, rounding_)};
  }

  /// @param scales  of inputs that are rounded to their codes first; nullptr: as they are
  HessianAccumulator second_moments(GroupInputs& inputs, const InputScales* scales) const {
    const ClassWeights weights = class_weights(class_energies(inputs));
    HessianAccumulator hessian(inputs.width());
    inputs.in_order([&](std::size_t, const at::Tensor& x, const std::vector<TokenClass>& classes) {
      std::vector<float> row_weights;
      for (const TokenClass c : classes) row_weights.push_back(weights[static_cast<std::size_t>(c)]);
      hessian.add(scales != nullptr ? seen_by_codes(x, classes, scales->scales) : x, row_weights);
    });
    return hessian;
  }

  /// Second moments of few rows are known badly, and GPTQ compensates the error of a column by them.  So they are shrunk
  /// towards a multiple of the identity, by the width over the rows (shrinkage: Ledoit and Wolf, 2004).
  GptqOptions options_for(const HessianAccumulator& sum) const {
    GptqOptions options = factor_options_;
    options.damping +=
        static_cast<double>(sum.width()) / static_cast<double>(std::max<std::int64_t>(sum.rows(), 1));
    options.damping = std::min(options.damping, 1.0);
    return options;
  }

  using Energies = std::array<double, kTokenClasses>;

  /// Sums of squares of the rows of each class.
  static Energies class_energies(GroupInputs& inputs) {
    std::vector<Energies> of_sample(inputs.samples());
    inputs.in_parallel([&](std::size_t sample, const at::Tensor& x, const std::vector<TokenClass>& classes) {
      const at::Tensor energy = x.square().sum(1);
      for (std::size_t r = 0; r < classes.size(); ++r)
        of_sample[sample][static_cast<std::size_t>(classes[r])] += energy.data_ptr<float>()[r];
    });
    Energies energy{};
    for (const Energies& of_one : of_sample)
      for (std::size_t c = 0; c < energy.size(); ++c) energy[c] += of_one[c];
    return energy;
  }

  /// Of the rows of each class.  Balanced: each class has its part in the Hessian's trace, the mean over all rows' energy
  /// is 1.  Sinks are a few directions of enormous energy; they never have more of the trace than the others together.
  ClassWeights class_weights(const Energies& energy) const {
    double total = 0, parts = 0;
    for (std::size_t c = 0; c < energy.size(); ++c) {
      total += energy[c];
      if (energy[c] > 0) parts += kClassParts[c];
    }
    ClassWeights weights{1, 1, 1};
    for (std::size_t c = 0; balanced_ && c < energy.size(); ++c)
      if (energy[c] > 0) weights[c] = static_cast<float>(total * kClassParts[c] / (parts * energy[c]));
    constexpr auto kSink = static_cast<std::size_t>(TokenClass::sink);
    if (const double sinks = energy[kSink]; !balanced_ && sinks > total / 2 && total > sinks)
      weights[kSink] = static_cast<float>((total - sinks) / sinks);
    return weights;
  }

  static void note_errors(const std::string& name, const at::Tensor& weight, const QuantizedLinear& quantized,
                          const std::optional<double>& output_sqnr, PassContext& ctx) {
    if (quantized.codes.empty()) return;
    ctx.note(name, "weight_sqnr_db", weight_sqnr_db(weight, quantized));
    if (output_sqnr) ctx.note(name, "output_sqnr_db", *output_sqnr);
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
