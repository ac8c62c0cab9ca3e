// suppress: RMS (rotation magnitude suppression).  Keep the input channels that stand out after the online rotation
// apart from the integer matrix.
//
// A plain Hadamard matrix gathers the mean of the channels in one of them (channel 0 for most orders): its column then
// sets every row's weight scale, and its activation the input scale.  Such channels are found by their size after
// rotation, not by their number: for orders 52, 156, 172 channel 0 is nothing special.  Their columns are kept in int8
// with a scale of their own, or float; a single-scale int4 column would lose more than it saves.
// Linears that are rows of one stored matrix share the scale: the matrix has one for each column.
// Source: MQuant, arXiv 2502.00425, section 3.2 (detection: equation 9, on absolute values).
//
// writes split channels of the group, for the passes after it
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "mquant/pass.h"
#include "passes/collected.h"
#include "passes/entry.h"
#include "passes/group_facts.h"
#include "quant/outliers.h"

namespace mquant {
namespace {

struct SuppressOptions {
  OutlierOptions outliers;
  enum class Columns { int8, float32 } columns = Columns::int8;

  void bind(OptionBinder& options) {
    options.number("weight_ratio", outliers.weight_ratio,
                   "split where a channel's largest weight exceeds the median by this factor; 0: do not look",
                   {.at_least = 1, .or_zero = true});
    options.number("activation_ratio", outliers.activation_ratio,
                   "split where a channel's largest input exceeds the median by this factor; 0: do not look",
                   {.at_least = 1, .or_zero = true});
    options.integer("limit", outliers.limit, "channels a linear, at most, and never more than half of them",
                    {.at_least = 1});
    options.choice("columns", columns, "how the split columns are kept",
                   {{"int8", Columns::int8}, {"float", Columns::float32}});
  }
};

class Suppress final : public Pass {
 public:
  using Options = SuppressOptions;
  explicit Suppress(const Options& options) : options_(options) {}

  Request wants(const Block& block, const LinearGroup& group, const Collected& collected, const GroupFacts&,
                const PassContext& ctx) const override {
    const bool looks = options_.outliers.activation_ratio > 0 && may_split(block, group, ctx);
    return {.channel_max = looks && !collected.channel_max};
  }

  void decide(Block& block, const LinearGroup& group, Collected& collected, GroupFacts& facts,
              PassContext& ctx) override {
    if (!may_split(block, group, ctx)) return;
    std::vector<at::Tensor> weights;
    for (const std::string& name : group.linears) weights.push_back(block.linear(name).weight);
    std::vector<float> absmax;
    if (options_.outliers.activation_ratio > 0) absmax = collected.channel_max.value();
    SplitChannels split{.channels = outlier_channels(weights, absmax, options_.outliers), .columns = {}};
    if (split.channels.empty()) return;
    for (const auto& [tensor, linears] : by_matrix(block.spec(), group)) split_columns(block, linears, split);
    for (const std::string& name : group.linears) {
      ctx.note(name, "split_channels", static_cast<double>(split.channels.size()));
      ctx.count("channels_split", std::ssize(split.channels));
    }
    facts.provide(ctx, std::move(split));
  }

 private:
  static bool may_split(const Block& block, const LinearGroup& group, const PassContext& ctx) {
    return block.linear(group.linears.front()).rotation && ctx.scheme(block.spec()).weight_bits != 16;
  }

  using LinearsByMatrix = std::map<std::string, std::vector<std::string>>;

  /// The group's linears by the tensor whose rows they are: fused ones share it.
  static LinearsByMatrix by_matrix(const BlockSpec& spec, const LinearGroup& group) {
    LinearsByMatrix matrices;
    for (const std::string& name : group.linears) {
      const Source& weight = spec.linear(name).weight;
      matrices[weight.stored_as.empty() ? weight.name : weight.stored_as].push_back(name);
    }
    return matrices;
  }

  /// Fills in the columns of linears that are rows of one matrix.
  void split_columns(Block& block, const std::vector<std::string>& linears, SplitChannels& split) const {
    std::vector<at::Tensor> weights;
    for (const std::string& name : linears) weights.push_back(block.linear(name).weight.clone());
    std::vector<SplitColumns> parts =
        make_splits(weights, split.channels, options_.columns == SuppressOptions::Columns::int8);
    for (std::size_t i = 0; i < linears.size(); ++i) split.columns[linears[i]] = std::move(parts[i]);
  }

  Options options_;
};

}  // namespace

extern const PassInfo suppress_pass = entry<Suppress>({
    .name = "suppress",
    .effect = Effect::approximates,
    .summary =
        "Keep input channels that stand out after the online rotation apart from the integer matrix (RMS)",
    .needs = {{Fact::online_rotation}},
    .provides = {Fact::split_columns},
    .precedes = {Fact::input_scales, Fact::codes},
});

}  // namespace mquant
