#include "zoo/record.h"

#include <nlohmann/json.hpp>

#include "artifact/fields.h"
#include "mquant/error.h"
#include "mquant/log.h"
#include "support/atomic_file.h"
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

Record record_from(const Fields& fields) {
  // What a process can have: summary.json has the same limits.
  constexpr std::int64_t kMostBytes = std::int64_t{1} << 60;
  constexpr double kMostSeconds = 1e9;
  constexpr int kMostSignal = 64, kMostCode = 255;
  Record record{.key = fields.text("key"),
                .state = state_of_word(fields.text("result")),
                .exit_code = static_cast<int>(fields.integer("exit_code", 0, kMostCode)),
                .signal = static_cast<int>(fields.integer("signal", 0, kMostSignal)),
                .seconds = fields.number("seconds"),
                .peak_bytes = fields.integer("peak_bytes", 0, kMostBytes),
                .error = fields.text("error"),
                .figures = {},
                .last_lines = fields.texts("last_lines"),
                .made = fields.text("made"),
                .seen = fields.text("seen"),
                .facts = {}};
  if (!(record.seconds >= 0 && record.seconds <= kMostSeconds))
    fail(ErrorKind::input, fields.where(), ": 'seconds': expected a number from 0 to ", kMostSeconds);
  const Fields figures = fields.object("figures");
  for (const auto& [name, value] : figures.json().items()) record.figures[name] = figures.number(name);
  if (fields.has("facts")) record.facts = facts_from(fields.object("facts"));
  return record;
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
  if (record.facts) json["facts"] = facts_json(*record.facts);
  write_file_atomically(file, json.dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n");
}

std::optional<Record> read_record(const fs::path& file) {
  std::error_code error;
  if (!fs::exists(file, error)) return {};
  try {
    const Json json = read_json_object(file);
    return record_from(Fields(json, file.string()));
  } catch (const Error& broken) {
    warn(cat(broken.what(), "; the stage runs again"));
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
