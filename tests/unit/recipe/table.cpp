// A table of passes for these tests alone: an option of every type, so that parsing is tested without the
// real passes.
#include <algorithm>

#include "mquant/pass_table.h"

namespace mquant {

class Pass {};

const std::vector<PassInfo>& all_passes() {
  static const std::vector<PassInfo> kPasses = {
      {"rotate",
       Effect::keeps_function,
       "turn",
       {{"vision", "true", "the tower"}, {"value", "true", "heads"}},
       nullptr},
      {"round",
       Effect::approximates,
       "round weights",
       {{"method", R"("gptq")", "how", {"rtn", "gptq"}},
        {"damping", "0.01", "of H"},
        {"steps", "80", "of a search"},
        {"note", R"("")", "any text"}},
       nullptr},
      {"fold-norms", Effect::keeps_function, "fold", {}, nullptr},
  };
  return kPasses;
}

}  // namespace mquant
