// A table of passes for these tests and the fuzz target of recipes: an option of every type and a contract of every
// kind, so that both are tested without the real passes.
#include <algorithm>

#include "mquant/pass_table.h"

namespace mquant {

class Pass {};

const std::vector<PassInfo>& all_passes() {
  static const std::vector<PassInfo> kPasses = {
      {.name = "fold-norms",
       .effect = Effect::keeps_function,
       .summary = "fold",
       .provides = {Fact::folded_norms},
       .precedes = {Fact::codes}},
      {.name = "rotate",
       .effect = Effect::keeps_function,
       .summary = "rotate streams",
       .needs = {Need{Fact::folded_norms, {"folded"}}},
       .options = {{"vision", "true", "the tower"},
                   {"value", "true", "heads"},
                   {"folded", "false", "only bare norms"}}},
      {.name = "round",
       .summary = "round weights",
       .provides = {Fact::input_scales, Fact::codes},
       .options = {{"method", R"("gptq")", "how", {"rtn", "gptq"}},
                   {"damping", "0.01", "of H", {}, {.above = 0, .at_most = 1}},
                   {"steps", "80", "of a search"},
                   {"note", R"("")", "any text"}}},
  };
  return kPasses;
}

}  // namespace mquant
