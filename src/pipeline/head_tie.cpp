#include "pipeline/head_tie.h"

#include "model/ends.h"
#include "passes/stream_options.h"
#include "pipeline/streams.h"

namespace mquant {
namespace {

/// Do passes make the head another matrix than the embeddings: by a rotation, or a norm that goes into the head alone?
bool passes_separate(const Recipe& recipe, const ModelSpec& model) {
  if (rotated_streams(recipe, model).contains(Space::decoder)) return true;
  const auto fold = recipe.options_of<FoldNormsOptions>("fold-norms");
  return fold && fold->where == FoldNormsOptions::Where::everywhere;
}

}  // namespace

HeadTie head_tie(const SourceModel& source, const Recipe& recipe) {
  HeadTie tie;
  const auto has = [&](const std::string& name) { return source.checkpoint.has(name); };
  const QuantScheme embed = recipe.scheme_of("embed");
  for (const BlockSpec& spec : source.model.blocks)
    for (const LinearSpec& linear : spec.linears) {
      if (!makes_logits(spec, linear.name) || linear.weight.otherwise.empty()) continue;
      tie.in_source = !has(resolve(linear.weight.name, source.model, has));
      const QuantScheme head = recipe.scheme_of(spec.name);
      const bool alike =
          head.name() == embed.name() && (head.is_float() || rounds_without_inputs(spec, head));
      tie.in_artifact = tie.in_source && alike && !passes_separate(recipe, source.model);
    }
  return tie;
}

void settle_embeddings(Recipe& recipe, const SourceModel& source) {
  if (!recipe.embeddings_follow_head) return;
  recipe.schemes["embed"] = recipe.scheme_of("head");
  if (!head_tie(source, recipe).in_artifact) recipe.schemes["embed"] = {};
}

}  // namespace mquant
