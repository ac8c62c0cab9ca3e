// Time by phase, counters, figures of every linear.
#include "pipeline/report.h"

#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "artifact/calibration_files.h"
#include "artifact/run_identity.h"
#include "mquant/error.h"
#include "mquant/log.h"
#include "pipeline/self_check.h"

namespace mquant {
namespace {

std::int64_t peak_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::int64_t>(usage.ru_maxrss) * 1024;
}

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

std::string one_decimal(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", value);
  return text;
}

nlohmann::ordered_json self_check_json(const SelfCheckReport& check) {
  nlohmann::ordered_json json = {{"samples", check.samples},
                                 {"bound", kSelfCheckBound},
                                 {"agreement", nlohmann::ordered_json::object()}};
  for (const auto& [token_class, row] : check.agreement)
    json["agreement"][token_class] = {
        {"tokens", row.tokens}, {"kl", number_json(row.kl)}, {"top1", row.top1}};
  if (check.answer_tokens > 0)
    json["perplexity"] = {{"float", number_json(check.float_perplexity)},
                          {"quantized", number_json(check.perplexity)},
                          {"tokens", check.answer_tokens}};
  json["errors"] = nlohmann::ordered_json::object();
  for (const auto& [block, by_class] : check.errors)
    for (const auto& [token_class, error] : by_class) json["errors"][block][token_class] = number_json(error);
  json["worst"] = nullptr;
  if (!check.worst_block.empty())
    json["worst"] = {{"block", check.worst_block},
                     {"class", check.worst_class},
                     {"before", number_json(check.error_before)},
                     {"after", number_json(check.error_after)}};
  return json;
}

}  // namespace

void Report::time(const std::string& phase, Stopwatch& watch) {
  work_.phases[phase] += watch.seconds();
  watch.restart();
}

void Report::kept(double difference) { work_.kept = std::max(work_.kept.value_or(0), difference); }

BlockWork Report::taken() {
  const double cpu = cpu_seconds();
  work_.seconds = elapsed_.seconds();
  work_.cpu_seconds = cpu - std::exchange(cpu_seconds_, cpu);
  work_.peak_bytes = peak_bytes();
  elapsed_.restart();
  return std::exchange(work_, {});
}

BlockWork Report::take(const StoredBlock& block,
                       const std::map<std::string, std::int64_t, std::less<>>& counters) {
  std::string line = block.name + ":";
  for (const auto& [linear, figures] : block.figures) {
    const auto sqnr = figures.find("output_sqnr_db");
    if (sqnr != figures.end()) line += cat(" ", linear, " ", one_decimal(sqnr->second));
  }
  if (!block.figures.empty()) debug(line + " dB");
  for (const auto& [name, n] : counters)
    if (n != counters_[name]) work_.counters[name] = n - std::exchange(counters_[name], n);
  return taken();
}

std::string Report::json(const CalibrationStore& store) {
  BlockWork work = store.work();
  work += taken();
  nlohmann::ordered_json report;
  report["seconds"] = work.seconds;
  report["cpu_seconds"] = work.cpu_seconds;
  report["peak_bytes"] = work.peak_bytes;
  report["phases"] = work.phases;
  for (const auto& [name, n] : work.counters) report["counters"][name] = n;
  if (work.kept) report["verified"] = *work.kept;
  report["sinks"] = sinks_json(store.identity().sinks);
  std::vector<std::pair<std::string, std::map<std::string, double>>> checked;
  report["linears"] = nlohmann::ordered_json::object();
  for (const std::string& name : store.done()) {
    const StoredBlock block = read_calibrated(store, name, Detail::outline);
    checked.emplace_back(name, block.self_check);
    const auto add = [&](const char* kind, const std::string& part, const StoredLinear& stored) {
      nlohmann::ordered_json& entry = report[kind][name + "." + part];
      entry["scheme"] = stored.quantized ? stored.quantized->scheme.name() : "float";
      const auto figures = block.figures.find(part);
      if (figures == block.figures.end()) return;
      for (const auto& [figure, value] : figures->second) entry[figure] = value;
    };
    for (const auto& [linear, stored] : block.linears) add("linears", linear, stored);
    for (const auto& [table, stored] : block.embeddings) add("embeddings", table, stored);
  }
  if (const SelfCheckReport check = self_check_report(checked); check.samples > 0)
    report["self_check"] = self_check_json(check);
  return report.dump(2) + "\n";
}

std::string self_check_in(const std::string& report) {
  const nlohmann::ordered_json json = nlohmann::ordered_json::parse(report);
  return json.contains("self_check") ? json["self_check"].dump() : std::string();
}

std::string read_report(const std::filesystem::path& calibration) {
  std::ifstream in(calibration / "report.json");
  std::ostringstream text;
  text << in.rdbuf();
  if (!in) fail(ErrorKind::input, (calibration / "report.json").string(), ": cannot be read");
  return std::move(text).str();
}

}  // namespace mquant
