// The states of stages in files.
#pragma once

#include <string>

#include "mquant/zoo.h"

namespace mquant::zoo {

/// "passed", "kept", "failed", "error", "interrupted", "blocked", "running", "waiting"
std::string state_word(StageState state);
/// @throws Error{input} for another word
StageState state_of_word(const std::string& word);

}  // namespace mquant::zoo
