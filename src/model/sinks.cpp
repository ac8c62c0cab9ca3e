// From the rule of a model to the classes of one prompt's tokens.
#include <algorithm>

#include "mquant/sample.h"

namespace mquant {

std::vector<std::size_t> sink_positions(const SinkRule& rule, const Features& features) {
  std::vector<std::size_t> positions;
  if (features.prompt_length > 0) return positions;  // a later turn: its first token is not the prompt's
  const std::size_t prompt =
      features.answer_begin < 0 ? features.input_ids.size() : static_cast<std::size_t>(features.answer_begin);
  const auto is = [&](std::size_t t, TokenClass c) { return features.token_class[t] == c; };
  if (rule.first_token && prompt > 0 && is(0, TokenClass::text)) positions.push_back(0);
  for (const std::int64_t id : rule.first_of)
    for (std::size_t t = 1; t < prompt; ++t)
      if (features.input_ids[t] == id && is(t, TokenClass::text)) {
        positions.push_back(t);
        break;
      }
  std::int64_t seen = -1;  // pictures are numbered in their order
  for (std::size_t t = 0; rule.first_visual && t < prompt; ++t)
    if (features.picture[t] > seen && is(t, TokenClass::visual)) {
      positions.push_back(t);
      seen = features.picture[t];
    }
  std::ranges::sort(positions);
  return positions;
}

void mark_sinks(const SinkRule& rule, Features& features) {
  for (const std::size_t t : sink_positions(rule, features)) features.token_class[t] = TokenClass::sink;
}

}  // namespace mquant
