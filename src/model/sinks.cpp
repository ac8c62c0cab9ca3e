// From the rule of a model to the classes of one prompt's tokens.
#include "mquant/sample.h"

namespace mquant {

void mark_sinks(const SinkRule& rule, Features& features) {
  if (features.prompt_length > 0) return;  // a later turn: its first token is not the prompt's
  const auto end = features.answer_begin < 0 ? features.input_ids.end()
                                             : features.input_ids.begin() + features.answer_begin;
  const auto mark = [&](std::ptrdiff_t token) {
    features.token_class[static_cast<std::size_t>(token)] = TokenClass::sink;
  };
  const std::vector<TokenClass> classes = features.token_class;  // as they were
  const auto prompt = end - features.input_ids.begin();
  const auto is = [&](std::ptrdiff_t t, TokenClass c) { return classes[static_cast<std::size_t>(t)] == c; };
  if (rule.first_token && prompt > 0 && is(0, TokenClass::text)) mark(0);
  for (const std::int64_t id : rule.first_of)
    for (std::ptrdiff_t t = 0; t < prompt; ++t)
      if (features.input_ids[static_cast<std::size_t>(t)] == id && is(t, TokenClass::text)) {
        mark(t);
        break;
      }
  if (!rule.first_visual) return;
  std::int64_t seen = -1;  // pictures are numbered in their order
  for (std::ptrdiff_t t = 0; t < prompt; ++t)
    if (const std::int64_t picture = features.picture[static_cast<std::size_t>(t)];
        picture > seen && is(t, TokenClass::visual)) {
      mark(t);
      seen = picture;
    }
}

}  // namespace mquant
