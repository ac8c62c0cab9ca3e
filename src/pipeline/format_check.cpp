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
      if (out.quantized && !rounds_without_inputs(block, scheme) && is_rotated_online(block, linear))
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
  QuantizedLinear coded(const LinearSpec& linear, const QuantScheme& scheme) const {
    QuantizedLinear coded{.out = linear.out, .in = linear.in, .scheme = scheme};
    const PassConfig* round = recipe_.find("round");
    const bool wide = round != nullptr && round->options.string("scale_dtype") == "f32";
    coded.weight_scale = {wide ? kNotHeld : kHeld};
    if (scheme.activation_bits == 8) coded.input_scales.scale.fill(kHeld);
    return coded;
  }

  bool is_rotated_online(const BlockSpec& block, const LinearSpec& linear) const {
    return online_ && rotates_online(*online_, model_, block, linear);
  }

  /// Does a norm's shift become this linear's bias?
  bool takes_shift(const BlockSpec& block, const LinearSpec& linear) const {
    return fold_ && !linear.norm.empty() && block.norm(linear.norm).bias &&
           folds_norm(*fold_, rotated_, block, linear.norm);
  }

  bool is_baked(const NormSpec& norm) const {
    return recipe_.find("bake-means") != nullptr && norm.kind == NormKind::layer &&
           bakes_means(model_, rotated_, norm.space);
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
