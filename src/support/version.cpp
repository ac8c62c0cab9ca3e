// The version, from CMakeLists.txt.
#include "mquant/version.h"

namespace mquant {

std::string_view version() { return MQUANT_VERSION; }

}  // namespace mquant
