// order-tokens: AIFS.  Reorder a sample's tokens once so that each class is one run of rows.
//
// Every linear then has one segment, and one scale, a class.  Attention keeps its meaning: keys and values lie at
// original positions, and a query carries its own (see nn/token_order.h and nn/attention.cpp).
// Source: MQuant, arXiv 2502.00425, section 3.1.
//
// keeps  the block's output, row by row, bit for bit
#include "mquant/pass.h"
#include "passes/entry.h"

namespace mquant {
namespace {

class OrderTokens final : public Pass {
 public:
  using Options = NoOptions;
  explicit OrderTokens(const Options&) {}

  void run_tokens(SampleState& sample) override { order_tokens(sample); }
};

}  // namespace

extern const PassInfo order_tokens_pass = entry<OrderTokens>({
    .name = "order-tokens",
    .effect = Effect::keeps_function,
    .summary = "Reorder tokens once so that each class is one run of rows (AIFS)",
    .provides = {Fact::token_order},
});

}  // namespace mquant
