// The version of this program, as manifests record it.
#pragma once

#include <string_view>

namespace mquant {

/// "0.1.0", from CMakeLists.txt.
std::string_view version();

}  // namespace mquant
