// Exemptions as text and JSON, the same for a family (list) and for a checkpoint (inspect).
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "mquant/model.h"

namespace mquant::cli {

/// One line for each tower and reason: "not on the decoder's stream: rotate (why)".
std::vector<std::string> exemption_lines(const std::vector<Exemption>& exemptions);

/// [{"pass", "tower", "reason"}]
nlohmann::ordered_json exemptions_json(const std::vector<Exemption>& exemptions);

}  // namespace mquant::cli
