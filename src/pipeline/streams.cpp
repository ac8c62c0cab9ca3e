#include "pipeline/streams.h"

#include <algorithm>

#include "mquant/error.h"
#include "passes/facts.h"

namespace mquant {

std::set<Space> rotated_streams(const Recipe& recipe, const ModelSpec& model) {
  std::set<Space> streams;
  for (const PassConfig& pass : recipe.passes)
    if (pass.name == "rotate")
      for (const Space space : streams_to_rotate(pass.options))
        if (!exempted(model, "rotate", space)) streams.insert(space);
  return streams;
}

namespace {

const PassConfig* find_pass_of(const Recipe& recipe, std::string_view name) {
  const auto it = std::ranges::find(recipe.passes, name, &PassConfig::name);
  return it == recipe.passes.end() ? nullptr : &*it;
}

/// Do quantized linears read the stream, and do norms with a scale stand before them?
struct Readers {
  bool any = false, normed = false;
};

Readers readers_of(const Recipe& recipe, const ModelSpec& model, Space space) {
  Readers readers;
  for (const BlockSpec& block : model.blocks) {
    if (recipe.scheme_of(block.name).is_float()) continue;
    for (const LinearSpec& linear : block.linears) {
      if (linear.reads != space || linear.stays_float) continue;
      readers.any = true;
      readers.normed = readers.normed || !linear.norm.empty();
    }
  }
  return readers;
}

std::string why_not_rotated(const Recipe& recipe, const ModelSpec& model, Space space) {
  if (find_pass_of(recipe, "rotate") == nullptr) return "the recipe has no rotate";
  for (const Exemption& exemption : model.exemptions)
    if (exemption.pass == "rotate" && exemption.tower == tower_of(space)) return exemption.reason;
  return "the recipe's rotate leaves it out";
}

std::string treatment_of(const Recipe& recipe, const ModelSpec& model, Space space, bool rotated,
                         bool normed) {
  const PassConfig* fold = find_pass_of(recipe, "fold-norms");
  const PassConfig* online = find_pass_of(recipe, "rotate-online");
  const bool everywhere = fold != nullptr && fold->options.string("where") == "everywhere";
  if (rotated)
    return fold == nullptr ? "rotated offline" : "rotated offline, norm scales folded into the weights";
  std::string text = cat("not rotated offline (", why_not_rotated(recipe, model, space), ")");
  if (normed) text += everywhere ? "; norm scales folded all the same" : "; norms keep their scales";
  if (online != nullptr && online->options.boolean("streams") && exempted(model, "rotate", space))
    text += "; inputs rotated online";
  if (find_pass_of(recipe, "smooth") != nullptr && normed) text += "; smoothed";
  return text;
}

}  // namespace

std::vector<StreamPlan> stream_plans(const Recipe& recipe, const ModelSpec& model) {
  const std::set<Space> rotated = rotated_streams(recipe, model);
  std::vector<StreamPlan> plans;
  for (const Space space : {Space::vision, Space::kv, Space::resampled, Space::decoder})
    if (const Readers readers = readers_of(recipe, model, space); readers.any)
      plans.push_back({std::string(space_name(space)),
                       treatment_of(recipe, model, space, rotated.contains(space), readers.normed)});
  return plans;
}

}  // namespace mquant
