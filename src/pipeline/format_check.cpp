#include "pipeline/format_check.h"

#include <algorithm>

#include "model/ends.h"
#include "passes/facts.h"
#include "passes/stream_options.h"
#include "pipeline/head_tie.h"
#include "pipeline/streams.h"
#include "support/strings.h"

namespace mquant {
namespace {

/// A scale that bfloat16 holds, or one that it does not: recipes may keep them in float32.
constexpr float kHeld = 1.0F, kNotHeld = 1.0F + 0x1p-20F;

/// A block as calibrate will store it, without codes and values: schemes, rotations, kinds of norms, biases.
class Outline {
 public:
  Outline(const Recipe& recipe, const ModelSpec& model)
      : recipe_(recipe),
        model_(model),
        rotated_(rotated_streams(recipe, model)),
        fold_(recipe.options_of<FoldNormsOptions>("fold-norms")),
        online_(recipe.options_of<RotateOnlineOptions>("rotate-online")) {}

  StoredBlock of(const BlockSpec& block) const {
    const QuantScheme scheme = recipe_.scheme_of(block.name);
    StoredBlock stored;
    stored.name = block.name;
    for (const LinearSpec& linear : block.linears) {
      StoredLinear& out = stored.linears[linear.name];
      if (!scheme.is_float() && !linear.stays_float) out.quantized = coded(linear, scheme);
      if (out.quantized && !rounds_without_inputs(block, scheme) && is_turned_online(block, linear))
        out.rotation = {.size = linear.in, .block = linear.in, .signs = {}};
      if (takes_shift(block, linear))
        out.bias = {DType::f32, {1}, {std::byte{0}, std::byte{0}, std::byte{0x80}, std::byte{0x3F}}};  // 1
    }
    for (const NormSpec& norm : block.norms)
      stored.norms[norm.name] = {
          .kind = is_baked(norm) ? NormKind::rms : norm.kind, .eps = norm.eps, .scale = {}, .shift = {}};
    if (scheme.weight_bits < 16)
      for (const ParamSpec& param : block.params)
        if (is_embedding(block, param.name)) stored.embeddings[param.name] = {};
    return stored;
  }

 private:
  const PassConfig* pass(std::string_view name) const {
    const auto found = std::ranges::find(recipe_.passes, name, &PassConfig::name);
    return found == recipe_.passes.end() ? nullptr : &*found;
  }

  QuantizedLinear coded(const LinearSpec& linear, const QuantScheme& scheme) const {
    QuantizedLinear coded{.out = linear.out, .in = linear.in, .scheme = scheme};
    const PassConfig* round = pass("round");
    const bool wide = round != nullptr && round->options.string("scale_dtype") == "f32";
    coded.weight_scale = {wide ? kNotHeld : kHeld};
    if (scheme.activation_bits == 8) coded.input_scales.scale.fill(kHeld);
    return coded;
  }

  /// As rotate-online decides.
  bool is_turned_online(const BlockSpec& block, const LinearSpec& linear) const {
    if (!online_) return false;
    const bool in_tower = block.tower == Tower::vision      ? online_->vision
                          : block.tower == Tower::projector ? online_->projector
                                                            : online_->decoder;
    return (linear.reads == Space::hidden && in_tower) ||
           (online_->streams && is_stream(linear.reads) && exempted(model_, "rotate", linear.reads));
  }

  /// As fold-norms decides: does a norm's shift become this linear's bias?
  bool takes_shift(const BlockSpec& block, const LinearSpec& linear) const {
    if (!fold_ || linear.norm.empty() || !block.norm(linear.norm).bias) return false;
    return fold_->where == FoldNormsOptions::Where::everywhere ||
           std::ranges::all_of(block.linears, [&](const LinearSpec& reader) {
             return reader.norm != linear.norm || rotated_.contains(reader.reads);
           });
  }

  /// As bake-means decides.
  bool is_baked(const NormSpec& norm) const {
    return pass("bake-means") != nullptr && norm.space != Space::decoder && rotated_.contains(norm.space) &&
           norm.kind == NormKind::layer && !exempted(model_, "bake-means", norm.space);
  }

  const Recipe& recipe_;
  const ModelSpec& model_;
  std::set<Space> rotated_;
  std::optional<FoldNormsOptions> fold_;
  std::optional<RotateOnlineOptions> online_;
};

/// The first of the built-in recipes whose result the format takes; "" if there is none.
std::string recipe_for(const FormatInfo& format, const SourceModel& source) {
  for (const RecipeInfo& info : all_recipes()) {
    Recipe recipe = load_recipe(info.name);
    settle_embeddings(recipe, source);
    if (foreseen_refusals(format, recipe, source).empty()) return info.name;
  }
  return {};
}

}  // namespace

std::vector<std::string> foreseen_refusals(const FormatInfo& format, const Recipe& recipe,
                                           const SourceModel& source) {
  const Outline outline(recipe, source.model);
  return format.refuses({.model = &source.model,
                         .source = &source.checkpoint,
                         .block = [&outline](const BlockSpec& block) { return outline.of(block); }});
}

void check_format(const std::string& format, const Recipe& recipe, const SourceModel& source,
                  Obstacles& obstacles) {
  if (format == "auto") return;
  const FormatInfo& info = find_format(format, FormatQuestion{});
  const std::vector<std::string> reasons = foreseen_refusals(info, recipe, source);
  if (reasons.empty()) return;
  const std::string better = recipe_for(info, source);
  obstacles.add(ErrorKind::unsupported, "the format ", format, " cannot hold what recipe ", recipe.name,
                " makes: ", join(reasons, "; "), "; ",
                better.empty() ? "no recipe of configs/ fits this family" : cat("--recipe ", better, " does"),
                ", and --format mquant holds all");
}

}  // namespace mquant
