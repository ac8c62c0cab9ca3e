// A model family: how to recognise it, what it is, and how its inputs are made.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "mquant/config.h"
#include "mquant/model.h"
#include "mquant/sample.h"

namespace mquant {

struct Family {
  std::string name;                      // of its file and golden folder
  std::string summary;                   // one line: the releases it covers
  std::vector<std::string> model_types;  // of config.json, for "did you mean"
  bool (*recognises)(const Config& config);
  /// Sizes and names from config.json.  Throws Error{input} for a missing or contradictory key.
  ModelSpec (*describe)(const Config& config);
  /// Reads tokenizer and processor files of `directory`.
  std::unique_ptr<Processor> (*make_processor)(const std::filesystem::path& directory, const Config& config);
};

const std::vector<const Family*>& all_families();

/// Throws Error{unsupported} with the nearest supported model type and the page that tells how to add one.
const Family& find_family(const Config& config);

}  // namespace mquant
