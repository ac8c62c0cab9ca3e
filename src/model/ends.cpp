#include "model/ends.h"

#include <algorithm>

namespace mquant {

bool is_embedding(const BlockSpec& block, std::string_view param) {
  bool embeds = false;
  for (const Step& step : block.steps) {
    if (step.name != param || step.op == Op::linear || step.op == Op::norm) continue;
    if (step.op != Op::embed) return false;
    embeds = true;
  }
  return embeds;
}

bool makes_logits(const BlockSpec& block, std::string_view linear) {
  return std::ranges::any_of(block.steps, [&](const Step& step) {
    return step.op == Op::linear && step.name == linear && step.out == "logits";
  });
}

bool rounds_without_inputs(const BlockSpec& block, const QuantScheme& scheme) {
  if (scheme.weight_bits != 8 || scheme.activation_bits != 16) return false;
  return std::ranges::any_of(block.params, [&](const ParamSpec& p) { return is_embedding(block, p.name); }) ||
         std::ranges::any_of(block.linears, [&](const LinearSpec& l) { return makes_logits(block, l.name); });
}

}  // namespace mquant
