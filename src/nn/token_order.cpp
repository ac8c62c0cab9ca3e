// The AIFS permutation and the mask rule that goes with it.
#include "nn/token_order.h"

#include <algorithm>

namespace mquant {

std::vector<std::int64_t> class_order(const std::vector<TokenClass>& classes) {
  std::vector<std::int64_t> order;
  order.reserve(classes.size());
  for (const TokenClass wanted : {TokenClass::visual, TokenClass::text, TokenClass::sink})
    for (std::size_t i = 0; i < classes.size(); ++i)
      if (classes[i] == wanted) order.push_back(static_cast<std::int64_t>(i));
  return order;
}

KeyInterval causal_keys(std::int64_t original_position, std::int64_t window) {
  const std::int64_t end = original_position + 1;
  return {window == 0 ? 0 : std::max<std::int64_t>(0, end - window), end};
}

std::string token_order_rule() {
  return R"({"order": "stable partition of the prompt's tokens: visual, then text, then sink; )"
         R"(order[i] is the original position, from 0, of row i",)"
         R"( "attention": "row i sees row j if order[j] <= order[i]; keys lie at original positions in a cache",)"
         R"( "positions": "rotary and all position-dependent rules use order[i]",)"
         R"( "decode": "a decoded token is a text token at the position that follows",)"
         R"( "logits": "of original position t are in the row i with order[i] == t"})";
}

}  // namespace mquant
