#include "zoo/results.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "mquant/version.h"
#include "support/atomic_file.h"
#include "support/strings.h"
#include "support/table.h"
#include "zoo/states.h"

namespace mquant {

namespace fs = std::filesystem;
namespace {

using Json = nlohmann::ordered_json;
using enum Table::Align;

constexpr std::array kResults = {"summary.json", "junit.xml", "summary.md"};

std::string duration(double seconds) { return human_duration(std::chrono::duration<double>(seconds)); }

double seconds_of(const ZooJob& job) {
  double sum = 0;
  for (const ZooStage& stage : job.stages) sum += stage.seconds;
  return sum;
}

std::string figure(const ZooStage& stage, const std::string& name, int digits) {
  const auto found = stage.figures.find(name);
  return found == stage.figures.end() ? "" : fixed(found->second, digits);
}

/// "85.2 MiB, 91.0 MiB"
std::string sizes_of(const ZooJob& job) {
  std::vector<std::string> sizes;
  for (const ZooStage& stage : job.stages)
    if (const auto found = stage.figures.find("artifact_bytes"); found != stage.figures.end())
      sizes.push_back(human_bytes(static_cast<std::uint64_t>(std::max(0.0, found->second))));
  return join(sizes, ", ");
}

/// "eval-digits: exact match is ..."
std::string trouble_of(const ZooJob& job) {
  const ZooStage* const stage = job.troubled();
  if (stage == nullptr) return "";
  return stage->error.empty() ? stage->name : cat(stage->name, ": ", stage->error);
}

std::string_view result_of(const ZooJob& job) { return state_name(job.state()); }

Table job_table(const ZooReport& report) {
  std::vector<Table::Column> columns = {{"job"}, {"result"}, {"time", right}, {"artifact", right}};
  const bool trouble =
      std::ranges::any_of(report.jobs, [](const ZooJob& job) { return !trouble_of(job).empty(); });
  if (trouble) columns.push_back({"what is wrong"});
  Table table(columns);
  for (const ZooJob& job : report.jobs) {
    std::vector<std::string> row = {job.name, std::string(result_of(job)), duration(seconds_of(job)),
                                    sizes_of(job)};
    if (trouble) row.push_back(printable(trouble_of(job)));
    table.row(row);
  }
  return table;
}

Table evaluation_table(const ZooReport& report) {
  Table table({{"job"},
               {"check"},
               {"exact, %", right},
               {"perplexity", right},
               {"KL text", right},
               {"KL visual", right},
               {"result"}});
  for (const ZooJob& job : report.jobs)
    for (const ZooStage& stage : job.stages)
      if (stage.name.starts_with("eval-") && !stage.figures.empty())
        table.row({job.name, stage.name, figure(stage, "exact", 1), figure(stage, "perplexity", 3),
                   figure(stage, "kl.text", 4), figure(stage, "kl.visual", 4),
                   std::string(state_name(stage.state))});
  return table;
}

std::string total_line(const ZooReport& report) {
  std::vector<std::string> parts;
  for (const std::string_view result : {"passed", "unchanged", "failed", "error", "interrupted", "not run"})
    if (const auto count = std::ranges::count(report.jobs, result, result_of); count > 0)
      parts.push_back(cat(count, " ", result));
  return cat(counted(std::ssize(report.jobs), "job"), ": ", join(parts, ", "), "; ",
             duration(report.seconds));
}

/// Between fences that the text does not hold.
std::string fenced(const std::string& text) {
  std::string fence = "```";
  while (text.find(fence) != std::string::npos) fence += '`';
  return cat(fence, "text\n", text, fence, "\n");
}

Json stage_json(const ZooStage& stage) {
  Json json = {{"stage", stage.name},
               {"result", zoo::state_word(stage.state)},
               {"exit_code", stage.exit_code},
               {"signal", stage.signal},
               {"seconds", stage.seconds},
               {"peak_bytes", stage.peak_bytes},
               {"error", stage.error},
               {"figures", stage.figures},
               {"needs", stage.needs},
               {"memory_bytes", stage.memory_bytes},
               {"disk_bytes", stage.disk_bytes},
               {"expected_seconds", stage.expected_seconds},
               {"threads", stage.threads},
               {"commands", Json::array()}};
  for (const auto& command : stage.commands) {
    Json words = Json::array({"mquant"});
    for (const std::string& word : command) words.push_back(word);
    json["commands"].push_back(std::move(words));
  }
  return json;
}

}  // namespace

std::string zoo_summary(const ZooReport& report) {
  Json json = {{"mquant", std::string(version())},    {"zoo", report.file.string()},
               {"output", report.output.string()},    {"passed", report.passed()},
               {"interrupted", report.interrupted},   {"seconds", report.seconds},
               {"memory_bytes", report.memory_bytes}, {"disk_bytes", report.disk_bytes},
               {"problems", Json::array()},           {"jobs", Json::array()}};
  for (const ZooProblem& problem : report.problems)
    json["problems"].push_back(
        {{"job", problem.job}, {"exit_code", static_cast<int>(problem.kind)}, {"message", problem.message}});
  for (const ZooJob& job : report.jobs) {
    Json entry = {{"job", job.name},
                  {"model", job.model},
                  {"recipe", job.recipe},
                  {"model_path", job.model_path.string()},
                  {"result", zoo::state_word(job.state())},
                  {"seconds", seconds_of(job)},
                  {"log", job.log.string()},
                  {"artifacts", Json::object()},
                  {"stages", Json::array()}};
    for (const auto& [format, path] : job.artifacts) entry["artifacts"][format] = path.string();
    for (const ZooStage& stage : job.stages) entry["stages"].push_back(stage_json(stage));
    json["jobs"].push_back(std::move(entry));
  }
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string zoo_screen(const ZooReport& report) {
  const Table evaluations = evaluation_table(report);
  return cat(job_table(report).text(), evaluations.empty() ? "" : cat("\n", evaluations.text()), "\n",
             total_line(report), "\n");
}

std::string zoo::summary_markdown(const ZooReport& report) {
  std::string text = cat("## mquant zoo: ",
                         report.passed()      ? "passed"
                         : report.interrupted ? "interrupted"
                                              : "failed",
                         "\n\n", total_line(report), "\n\n", job_table(report).markdown());
  if (const Table evaluations = evaluation_table(report); !evaluations.empty())
    text += "\n" + evaluations.markdown();
  for (const ZooJob& job : report.jobs)
    if (const ZooStage* const stage = job.troubled(); stage != nullptr && !stage->last_lines.empty())
      text += cat("\n<details><summary>", job.name, ": ", stage->name, "</summary>\n\n",
                  fenced(join(stage->last_lines, "\n") + "\n"), "\n</details>\n");
  return text;
}

void zoo::remove_results(const fs::path& output) {
  for (const char* name : kResults) fs::remove(output / name);
}

void zoo::write_results(const ZooReport& report) {
  const std::array texts = {zoo_summary(report), junit_text(report), summary_markdown(report)};
  for (std::size_t i = 0; i < texts.size(); ++i) write_file_atomically(report.output / kResults[i], texts[i]);
}

}  // namespace mquant
