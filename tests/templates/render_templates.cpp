// Renders templates for compare_jinja2.py: from each line of standard input, {"template", "variables", "date": "YYYY-MM-DD"?},
// one of standard output, {"text"} or {"kind", "error"}.
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "mquant/error.h"
#include "text/jinja/template.h"

namespace {

nlohmann::ordered_json rendered(const nlohmann::ordered_json& task) {
  using namespace mquant;
  std::optional<jinja::Date> today;
  if (task.contains("date")) today = jinja::parse_date(task["date"].get<std::string>());
  try {
    const auto tree = jinja::Template::parse(task["template"].get<std::string>(), "template");
    return {{"text", tree.render(task["variables"], today)}};
  } catch (const Error& error) {
    return {{"kind", error.exit_code()}, {"error", error.what()}};
  }
}

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);)
    std::cout << rendered(nlohmann::ordered_json::parse(line)).dump() << "\n";
}
