// Modules of a checkpoint as patterns that other engines can match, whatever they call the root of the model.
//
// compressed-tensors takes a class name, an exact name, or "re:" and a Python regular expression matched from the
// start.  Engines see the modules of one checkpoint under several names (transformers: "model.language_model.layers.0",
// vLLM: "language_model.model.layers.0", the checkpoint: "model.layers.0"), so exact names match nothing there and a
// bare expression such as "re:visual.*" matches nothing either.  Every pattern here is an official name behind an
// optional prefix that ends with a dot, its leading words also as other releases have them:
//
//   re:(?:.*\.)?(?:model\.|model\.language_model\.)layers\.\d+\.mlp\.down_proj$
//
// `\d+` stands only where every module of that form in the checkpoint is meant, else the numbers are spelled out.
#pragma once

#include <string>
#include <vector>

#include "mquant/model.h"

namespace mquant {

/// Patterns that match all of `modules` and none of `others`, both official names; in the order of `modules`.
/// @throws Error{internal} if some module is in both
std::vector<std::string> target_patterns(const std::vector<std::string>& modules,
                                         const std::vector<std::string>& others, const ModelSpec& model);

}  // namespace mquant
