#include "exemptions.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "mquant/error.h"
#include "support/strings.h"

namespace mquant::cli {

std::vector<std::string> exemption_lines(const std::vector<Exemption>& exemptions) {
  struct Line {
    Tower tower;
    std::string reason;
    std::vector<std::string> passes;
  };
  std::vector<Line> lines;
  for (const Exemption& exemption : exemptions) {
    auto line = std::ranges::find_if(lines, [&](const Line& other) {
      return other.tower == exemption.tower && other.reason == exemption.reason;
    });
    if (line == lines.end()) line = lines.insert(line, {exemption.tower, exemption.reason, {}});
    line->passes.push_back(exemption.pass);
  }
  std::vector<std::string> texts;
  for (const Line& line : lines)
    texts.push_back(cat("not on the ", tower_name(line.tower), line.tower == Tower::vision ? " tower" : "",
                        "'s stream: ", join(line.passes, ", "), " (", line.reason, ")"));
  return texts;
}

nlohmann::ordered_json exemptions_json(const std::vector<Exemption>& exemptions) {
  auto list = nlohmann::ordered_json::array();
  for (const Exemption& exemption : exemptions)
    list.push_back({{"pass", exemption.pass},
                    {"tower", std::string(tower_name(exemption.tower))},
                    {"reason", exemption.reason}});
  return list;
}

}  // namespace mquant::cli
