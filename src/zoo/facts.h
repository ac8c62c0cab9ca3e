// What the check of a job has found out.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "artifact/fields.h"
#include "zoo/zoo_file.h"

namespace mquant::zoo {

struct Facts {
  std::string model, data, recipe, chat_template;  // digests
  std::map<std::string, std::string> eval_data;    // digests, by name of the check
  std::int64_t artifact_bytes = 0, calibration_bytes = 0, calibrate_memory = 0;
  double calibrate_seconds = 0;
  std::map<std::string, std::int64_t> eval_memory;  // beside the artifact's weights, by name of the check
};

/// Whether the same was found: digests, but not what was measured.
bool same_inputs(const Facts& a, const Facts& b);

/// Reads the JSON that one command of a check has printed.
/// @param check  of `eval --dry-run`; null: of `inspect`
void add_facts(const std::string& printed, const Check* check, Facts& facts);

OrderedJson facts_json(const Facts& facts);
/// @throws Error{input}
Facts facts_from(const Fields& fields);

}  // namespace mquant::zoo
