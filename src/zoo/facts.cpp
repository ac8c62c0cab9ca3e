#include "zoo/facts.h"

#include <nlohmann/json.hpp>

namespace mquant::zoo {
namespace {

constexpr std::int64_t kMost = std::int64_t{1} << 60;  // bytes

}  // namespace

bool same_inputs(const Facts& a, const Facts& b) {
  return a.model == b.model && a.data == b.data && a.recipe == b.recipe &&
         a.chat_template == b.chat_template && a.eval_data == b.eval_data;
}

void add_facts(const std::string& printed, const Check* check, Facts& facts) {
  const std::string where = check == nullptr ? "mquant inspect" : "mquant eval --dry-run";
  const Json json = parse_json(printed, where);
  const Fields found(json, where);
  if (check != nullptr) {
    facts.eval_data[check->name] = found.text("digest");
    // The source's weights are loaded for a reference; otherwise only the artifact's are.
    const std::int64_t weights = check->needs_reference() ? 0 : found.integer("weight_bytes", 0, kMost);
    facts.eval_memory[check->name] = found.integer("peak_bytes", 0, kMost) - weights;
    return;
  }
  const Fields digests = found.object("digests");
  if (digests.has("model")) facts.model = digests.text("model");
  facts.data = digests.text("data");
  facts.recipe = digests.text("recipe");
  facts.chat_template = digests.has("chat_template") ? digests.text("chat_template") : "";
  facts.artifact_bytes = found.integer("artifact_bytes", 0, kMost);
  facts.calibration_bytes = found.integer("calibration_bytes", 0, kMost);
  facts.calibrate_memory = found.integer("peak_bytes", 0, kMost);
  facts.calibrate_seconds = found.number("seconds");
}

OrderedJson facts_json(const Facts& facts) {
  return {{"model", facts.model},
          {"data", facts.data},
          {"recipe", facts.recipe},
          {"chat_template", facts.chat_template},
          {"eval_data", facts.eval_data},
          {"artifact_bytes", facts.artifact_bytes},
          {"calibration_bytes", facts.calibration_bytes},
          {"calibrate_memory", facts.calibrate_memory},
          {"calibrate_seconds", number_json(facts.calibrate_seconds)},
          {"eval_memory", facts.eval_memory}};
}

Facts facts_from(const Fields& fields) {
  Facts facts{.model = fields.text("model"),
              .data = fields.text("data"),
              .recipe = fields.text("recipe"),
              .chat_template = fields.text("chat_template"),
              .eval_data = {},
              .artifact_bytes = fields.integer("artifact_bytes", 0, kMost),
              .calibration_bytes = fields.integer("calibration_bytes", 0, kMost),
              .calibrate_memory = fields.integer("calibrate_memory", 0, kMost),
              .calibrate_seconds = fields.number("calibrate_seconds"),
              .eval_memory = {}};
  const Fields data = fields.object("eval_data"), memory = fields.object("eval_memory");
  for (const auto& [name, digest] : data.json().items()) facts.eval_data[name] = data.text(name);
  for (const auto& [name, bytes] : memory.json().items())
    facts.eval_memory[name] = memory.integer(name, -kMost, kMost);
  return facts;
}

}  // namespace mquant::zoo
