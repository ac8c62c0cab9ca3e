// JUnit's XML.  Jenkins, GitLab and the readers on GitHub agree on a core: suites, cases with
// class and time, and one of failure, error or skipped.  Nothing beyond it is written.
#include <algorithm>
#include <array>
#include <cstdio>
#include <pugixml.hpp>
#include <sstream>

#include "support/strings.h"
#include "support/timer.h"
#include "zoo/results.h"

namespace mquant::zoo {
namespace {

struct Counts {
  int tests = 0, failures = 0, errors = 0, skipped = 0;
  double seconds = 0;

  void add(const ZooStage& stage) {
    ++tests;
    failures += stage.state == StageState::failed ? 1 : 0;
    errors += stage.state == StageState::error || stage.state == StageState::interrupted ? 1 : 0;
    skipped += stage.state == StageState::waiting || stage.state == StageState::blocked ? 1 : 0;
    seconds += stage.seconds;
  }
};

std::string time_text(double seconds) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.3f", seconds);
  return text.data();
}

void set(pugi::xml_node node, const char* name, const std::string& value) {
  node.append_attribute(name).set_value(value.c_str());
}

void set_counts(pugi::xml_node node, const Counts& counts) {
  set(node, "tests", std::to_string(counts.tests));
  set(node, "failures", std::to_string(counts.failures));
  set(node, "errors", std::to_string(counts.errors));
  set(node, "time", time_text(counts.seconds));
}

/// "85.2 exact, 1.116 perplexity": what a case that passed has to say.
std::string figures_text(const ZooStage& stage) {
  std::vector<std::string> parts;
  for (const auto& [name, value] : stage.figures) parts.push_back(cat(name, " ", value));
  return join(parts, ", ");
}

void add_trouble(pugi::xml_node node, const char* element, const ZooStage& stage) {
  pugi::xml_node trouble = node.append_child(element);
  set(trouble, "message", printable(stage.error.empty() ? state_name(stage.state) : stage.error, 1000));
  set(trouble, "type", stage.signal != 0 ? cat("signal ", stage.signal) : cat("exit code ", stage.exit_code));
  trouble.text().set(join(stage.last_lines, "\n").c_str());
}

void add_case(pugi::xml_node suite, const ZooJob& job, const ZooStage& stage) {
  pugi::xml_node node = suite.append_child("testcase");
  set(node, "name", stage.name);
  set(node, "classname", job.name);
  set(node, "time", time_text(stage.seconds));
  switch (stage.state) {
    case StageState::failed: return add_trouble(node, "failure", stage);
    case StageState::error:
    case StageState::interrupted: return add_trouble(node, "error", stage);
    case StageState::waiting:
    case StageState::blocked: node.append_child("skipped"); return;
    default: break;
  }
  if (const std::string figures = figures_text(stage); !figures.empty())
    node.append_child("system-out").text().set(figures.c_str());
}

}  // namespace

std::string junit_text(const ZooReport& report) {
  std::vector<std::string> models;  // in the order of the zoo
  Counts all;
  for (const ZooJob& job : report.jobs) {
    if (std::ranges::find(models, job.model) == models.end()) models.push_back(job.model);
    for (const ZooStage& stage : job.stages) all.add(stage);
  }
  pugi::xml_document document;
  pugi::xml_node declaration = document.append_child(pugi::node_declaration);
  set(declaration, "version", "1.0");
  set(declaration, "encoding", "UTF-8");
  pugi::xml_node suites = document.append_child("testsuites");
  set(suites, "name", "mquant zoo");
  set_counts(suites, all);
  const std::string time = time_of_day("%Y-%m-%dT%H:%M:%S");
  for (const std::string& model : models) {
    Counts counts;
    for (const ZooJob& job : report.jobs)
      if (job.model == model)
        for (const ZooStage& stage : job.stages) counts.add(stage);
    pugi::xml_node suite = suites.append_child("testsuite");
    set(suite, "name", model);
    set_counts(suite, counts);
    set(suite, "skipped", std::to_string(counts.skipped));
    set(suite, "timestamp", time);
    for (const ZooJob& job : report.jobs)
      if (job.model == model)
        for (const ZooStage& stage : job.stages) add_case(suite, job, stage);
  }
  std::ostringstream text;
  document.save(text, "  ");
  return text.str();
}

}  // namespace mquant::zoo
