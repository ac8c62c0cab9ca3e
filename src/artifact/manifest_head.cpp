#include <nlohmann/json.hpp>

#include "artifact/manifest.h"
#include "artifact/run_identity.h"
#include "support/sha256.h"

namespace mquant {

OrderedJson manifest_of(const RunIdentity& run) {
  OrderedJson manifest = {
      {"tool", {{"name", "mquant"}, {"version", run.tool_version}, {"libraries", run.libraries}}},
      {"source",
       {{"model", run.model.filename().string()}, {"family", run.family}, {"files", run.source.opened}}},
      {"calibration",
       {{"data_file", run.data_file},
        {"data_digest", run.data_digest},
        {"samples", run.samples},
        {"tokens", run.tokens},
        {"sample_digests", run.sample_digests},
        {"seed", run.seed},
        {"recipe", parse_ordered_json(run.recipe, "the recipe of the calibration")}}},
      {"sinks", sinks_json(run.sinks)}};
  if (!run.chat_template.empty()) manifest["calibration"]["chat_template"] = sha256_hex(run.chat_template);
  if (!run.template_date.empty()) manifest["calibration"]["template_date"] = run.template_date;
  return manifest;
}

OrderedJson manifest_head(const ExportInput& input, const FormatInfo& format) {
  OrderedJson run = manifest_of(input.calibration->identity());
  OrderedJson classes = OrderedJson::array();
  for (int c = 0; c < kTokenClasses; ++c) classes.push_back(token_class_name(static_cast<TokenClass>(c)));
  OrderedJson head = {
      {"manifest_version", kManifestVersion},
      {"tool", run["tool"]},
      {"format", {{"name", format.name}, {"version", 1}, {"summary", format.summary}}},
      {"source", run["source"]},
      {"calibration", run["calibration"]},
      {"classes", classes},
      {"sinks", run["sinks"]},
      {"token_rule",
       input.token_rule.empty() ? OrderedJson() : parse_ordered_json(input.token_rule, "the token rule")}};
  if (!input.self_check.empty()) head["self_check"] = parse_ordered_json(input.self_check, "the self-check");
  return head;
}

}  // namespace mquant
