#include "zoo/record.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "io/json_text.h"
#include "mquant/error.h"
#include "mquant/log.h"
#include "support/atomic_file.h"
#include "zoo/stages.h"
#include "zoo/states.h"

namespace mquant::zoo {
namespace fs = std::filesystem;
namespace {

std::optional<double> number_at(const Json& json, const char* pointer) {
  const Json::json_pointer at(pointer);
  if (!json.contains(at) || !json[at].is_number()) return {};
  return json[at].get<double>();
}

void read_evaluation(const Json& json, std::map<std::string, double>& figures) {
  const std::optional<double> exact = number_at(json, "/all/exact"),
                              samples = number_at(json, "/all/samples");
  if (exact && samples && *samples > 0) figures["exact"] = 100 * *exact / *samples;
  if (samples) figures["samples"] = *samples;
  const bool answers = number_at(json, "/answer_tokens").value_or(0) > 0;
  if (const auto perplexity = number_at(json, "/perplexity"); perplexity && answers)
    figures["perplexity"] = *perplexity;
  if (!json.contains("agreement") || !json["agreement"].is_object()) return;
  for (const auto& [token_class, row] : json["agreement"].items())
    if (const auto kl = number_at(row, "/kl")) figures["kl." + token_class] = *kl;
}

/// What a process can have: other numbers would go on into reports, where they mean something
/// else.
void expect_possible(const Record& record) {
  constexpr double kMostSeconds = 1e9;
  const bool possible = record.exit_code >= 0 && record.exit_code <= 255 && record.signal >= 0 &&
                        record.signal <= 64 && record.peak_bytes >= 0 && record.seconds >= 0 &&
                        record.seconds <= kMostSeconds;
  if (!possible) fail(ErrorKind::input, "numbers that no process has");
}

}  // namespace

void write_record(const fs::path& file, const Record& record) {
  OrderedJson json = {{"key", record.key},
                      {"result", state_word(record.state)},
                      {"exit_code", record.exit_code},
                      {"signal", record.signal},
                      {"seconds", record.seconds},
                      {"peak_bytes", record.peak_bytes},
                      {"error", record.error},
                      {"figures", record.figures},
                      {"last_lines", record.last_lines},
                      {"made", record.made},
                      {"seen", record.seen}};
  if (!record.facts.empty()) json["facts"] = OrderedJson::parse(record.facts);
  write_file_atomically(file, json.dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n");
}

std::optional<Record> read_record(const fs::path& file) {
  std::error_code error;
  if (!fs::exists(file, error)) return {};
  try {
    const Json json = read_json_object(file);
    Record record;
    json.at("key").get_to(record.key);
    record.state = state_of_word(json.at("result").get<std::string>());
    json.at("exit_code").get_to(record.exit_code);
    json.at("signal").get_to(record.signal);
    json.at("seconds").get_to(record.seconds);
    json.at("peak_bytes").get_to(record.peak_bytes);
    json.at("error").get_to(record.error);
    json.at("figures").get_to(record.figures);
    json.at("last_lines").get_to(record.last_lines);
    json.at("made").get_to(record.made);
    json.at("seen").get_to(record.seen);
    expect_possible(record);
    if (json.contains("facts")) record.facts = to_json(facts_of(json["facts"].dump()));
    return record;
  } catch (const std::exception& broken) {  // of JSON's types, or an Error
    const std::string why = broken.what();
    warn(cat(why.starts_with(file.string()) ? "" : file.string() + ": ", why,
             "; it is not a record of a stage, which runs again"));
    return {};
  }
}

Record record_of(const ZooStage& stage) {
  return {.key = {},
          .state = stage.state,
          .exit_code = stage.exit_code,
          .signal = stage.signal,
          .seconds = stage.seconds,
          .peak_bytes = stage.peak_bytes,
          .error = stage.error,
          .figures = stage.figures,
          .last_lines = stage.last_lines,
          .made = {},
          .seen = {},
          .facts = {}};
}

void restore(const Record& record, ZooStage& stage) {
  stage.state = record.state;
  stage.exit_code = record.exit_code;
  stage.signal = record.signal;
  stage.seconds = record.seconds;
  stage.peak_bytes = record.peak_bytes;
  stage.error = record.error;
  stage.figures = record.figures;
  stage.last_lines = record.last_lines;
}

std::map<std::string, double> figures_of(const fs::path& result) {
  std::map<std::string, double> figures;
  std::error_code error;
  if (!fs::exists(result, error)) return figures;
  const Json json = read_json_object(result);
  for (const char* name : {"artifact_bytes", "source_bytes", "bits_per_weight"})
    if (const auto number = number_at(json, (std::string("/") + name).c_str())) figures[name] = *number;
  if (json.contains("answers")) read_evaluation(json, figures);
  return figures;
}

}  // namespace mquant::zoo
