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

std::int64_t rows_of_end(const BlockSpec& block) {
  if (block.linears.size() + block.params.size() != 1) return 0;
  if (!block.params.empty()) {
    const ParamSpec& table = block.params.front();
    const bool plain = !table.folding && !table.sincos && !table.source.optional && table.shape.size() == 2;
    return plain && is_embedding(block, table.name) ? table.shape[0] : 0;
  }
  const LinearSpec& head = block.linears.front();
  const Source& weight = head.weight;
  const bool plain = weight.fused == Fused::none && !weight.transposed && !weight.identity &&
                     weight.stored_shape.empty() && weight.row_scale.empty();
  return plain && makes_logits(block, head.name) ? head.out : 0;
}

BlockSpec with_rows(BlockSpec block, std::int64_t rows) {
  for (ParamSpec& table : block.params) table.shape[0] = rows;
  for (LinearSpec& head : block.linears) head.out = rows;
  return block;
}

bool rounds_without_inputs(const BlockSpec& block, const QuantScheme& scheme) {
  if (scheme.weight_bits != 8 || scheme.activation_bits != 16) return false;
  return std::ranges::any_of(block.params, [&](const ParamSpec& p) { return is_embedding(block, p.name); }) ||
         std::ranges::any_of(block.linears, [&](const LinearSpec& l) { return makes_logits(block, l.name); });
}

}  // namespace mquant
