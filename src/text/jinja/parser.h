// A template's tokens as a tree.
#pragma once

#include "text/jinja/syntax.h"

namespace mquant::jinja {

/// @param tokens  of tokenize()
/// @throws Error{input} for what Jinja refuses; Error{unsupported} for a tag, filter, test or form of call that is not
///         known here, or nested too deep; both begin with line and column
Body parse(const std::vector<Token>& tokens);

}  // namespace mquant::jinja
