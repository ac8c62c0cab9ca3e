// The table of passes: names, options, factories.  No tensor is seen here, so recipes, help texts and the generated
// documentation read it without libtorch's headers; pass.h has what a pass is.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mquant/config.h"

namespace mquant {

class Pass;

enum class Effect {
  keeps_function,  ///< checked under --verify-each: the block's output may only change by its declared frame
  approximates,
};

struct PassOption {
  std::string name;
  std::string fallback;  // JSON text of the default; its type is the option's type
  std::string summary;
  std::vector<std::string> choices = {};  // of a text option; empty: any text
};

struct PassInfo {
  std::string name;
  Effect effect;
  std::string summary;
  std::vector<PassOption> options;
  /// `options` holds every option, defaults filled in.
  std::unique_ptr<Pass> (*make)(const Config& options);
};

/// In the order in which recipes usually have them.
const std::vector<PassInfo>& all_passes();
/// Throws Error{usage} with the nearest name.
const PassInfo& find_pass(std::string_view name);

}  // namespace mquant
