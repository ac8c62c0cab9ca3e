// suppress: RMS (rotation magnitude suppression).  Keep the input channels that stand out after the online rotation
// apart from the integer matrix.
//
// A plain Hadamard matrix gathers the mean of the channels in one of them (channel 0 for most orders): its column then
// sets every row's weight scale, and its activation the input scale.  Such channels are found by their size after
// rotation, not by their number: for orders 52, 156, 172 channel 0 is nothing special.  Their columns are kept in int8
// with a scale of their own, or float; a single-scale int4 column would lose more than it saves.
// Source: MQuant, arXiv 2502.00425, section 3.2 (detection: equation 9, on absolute values).
//
// needs  rotate-online before it, calibrate-scales and round behind it
// writes split channels of the group, for those passes
#include "mquant/error.h"
#include "mquant/pass.h"
#include "passes/group_inputs.h"
#include "quant/observer.h"
#include "quant/outliers.h"

namespace mquant {
namespace {

class Suppress final : public Pass {
 public:
  explicit Suppress(const Config& options)
      : outliers_{options.number("weight_ratio"), options.number("activation_ratio"),
                  options.positive("limit")},
        quantized_(options.string("columns") == "int8") {
    if (outliers_.weight_ratio < 0 || outliers_.activation_ratio < 0)
      fail(ErrorKind::usage, "suppress: ratios must not be negative");
  }

  void run_group(Block& block, const LinearGroup& group, GroupInputs& inputs, PassContext& ctx) override {
    if (!block.linear(group.linears.front()).rotation || ctx.scheme(block.spec()).weight_bits == 16) return;
    std::vector<at::Tensor> weights;
    for (const std::string& name : group.linears) weights.push_back(block.linear(name).weight);
    const std::vector<float> absmax =
        outliers_.activation_ratio > 0 ? channel_absmax(inputs) : std::vector<float>();
    inputs.split_channels = outlier_channels(weights, absmax, outliers_);
    if (inputs.split_channels.empty()) return;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      at::Tensor weight = weights[i].clone();
      inputs.splits[group.linears[i]] =
          make_split(weight, inputs.split_channels, quantized_, ctx.weight_scale_bits);
      ctx.note(group.linears[i], "split_channels", static_cast<double>(inputs.split_channels.size()));
      ctx.count("channels_split", static_cast<std::int64_t>(inputs.split_channels.size()));
    }
  }

 private:
  static std::vector<float> channel_absmax(GroupInputs& inputs) {
    std::vector<Observer> of_sample(inputs.samples(), Observer(inputs.width(), true));
    inputs.in_parallel([&](std::size_t sample, const at::Tensor& x, const std::vector<TokenClass>& classes) {
      of_sample[sample].add(x, classes);
    });
    Observer all(inputs.width(), true);
    for (const Observer& observer : of_sample) all.merge(observer);
    return all.channel_absmax();
  }

  OutlierOptions outliers_;
  bool quantized_;
};

}  // namespace

extern const PassInfo suppress_pass = {
    "suppress",
    Effect::approximates,
    "Keep input channels that stand out after the online rotation apart from the integer matrix (RMS)",
    {{"weight_ratio", "3.0",
      "split where a channel's largest weight exceeds the median by this; 0: do not look"},
     {"activation_ratio", "0.0", "the same of the channel's largest input; 0: do not look"},
     {"limit", "4", "channels a linear, at most"},
     {"columns", "\"int8\"", "how the split columns are kept", {"int8", "float"}}},
    [](const Config& options) -> std::unique_ptr<Pass> { return std::make_unique<Suppress>(options); }};

}  // namespace mquant
