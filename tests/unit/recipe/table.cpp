// A table of passes for these tests alone: an option of every type, so that parsing is tested without the
// real passes.
#include <algorithm>

#include "mquant/pass_table.h"

namespace mquant {

class Pass {};

const std::vector<PassInfo>& all_passes() {
  static const std::vector<PassInfo> kPasses = {
      {.name = "rotate",
       .effect = Effect::keeps_function,
       .summary = "turn",
       .options = {{"vision", "true", "the tower"}, {"value", "true", "heads"}}},
      {.name = "round",
       .summary = "round weights",
       .provides = {Fact::input_scales, Fact::codes},
       .options = {{"method", R"("gptq")", "how", {"rtn", "gptq"}},
                   {"damping", "0.01", "of H", {}, {.above = 0, .at_most = 1}},
                   {"steps", "80", "of a search"},
                   {"note", R"("")", "any text"}}},
      {.name = "fold-norms", .effect = Effect::keeps_function, .summary = "fold"},
  };
  return kPasses;
}

}  // namespace mquant
