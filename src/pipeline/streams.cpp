#include "pipeline/streams.h"

#include <algorithm>

#include "mquant/error.h"
#include "passes/facts.h"
#include "passes/stream_options.h"

namespace mquant {
std::set<Space> rotated_streams(const Recipe& recipe, const ModelSpec& model) {
  std::set<Space> streams;
  if (const auto rotate = recipe.options_of<RotateOptions>("rotate"))
    for (const Space space : streams_to_rotate(*rotate))
      if (!exempted(model, "rotate", space)) streams.insert(space);
  return streams;
}

namespace {

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
  if (recipe.find("rotate") == nullptr) return "the recipe has no rotate";
  for (const Exemption& exemption : model.exemptions)
    if (exemption.pass == "rotate" && exemption.tower == tower_of(space)) return exemption.reason;
  return "the recipe's rotate leaves it out";
}

std::string treatment_of(const Recipe& recipe, const ModelSpec& model, Space space, bool rotated,
                         bool normed) {
  const auto fold = recipe.options_of<FoldNormsOptions>("fold-norms");
  const auto online = recipe.options_of<RotateOnlineOptions>("rotate-online");
  const bool everywhere = fold && fold->where == FoldNormsOptions::Where::everywhere;
  if (rotated) return "rotated offline, norm scales folded into the weights";
  std::string text = cat("not rotated offline (", why_not_rotated(recipe, model, space), ")");
  if (normed) text += everywhere ? "; norm scales folded all the same" : "; norms keep their scales";
  const bool rotated_online = online && online->streams && exempted(model, "rotate", space);
  if (rotated_online) text += "; inputs rotated online";
  if (recipe.find("smooth") != nullptr && normed && !rotated_online) text += "; smoothed";
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
