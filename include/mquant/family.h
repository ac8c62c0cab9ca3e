// A model family: how to recognise it, what it is, and how its inputs are made.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "mquant/chat_template.h"
#include "mquant/config.h"
#include "mquant/model.h"
#include "mquant/sample.h"

namespace mquant {

struct Family {
  std::string name;                      // of its file and golden folder
  std::string summary;                   // one line: the releases it covers
  std::vector<std::string> model_types;  // of config.json, for "did you mean"

  // For readers of `mquant list families`, each a line; a test compares them with what description and processor do.
  std::string tower;          // the vision tower, and what of it becomes a token
  std::string prompt;         // the chat template, and where pictures stand in it
  std::string visual_tokens;  // the tokens of class `visual`
  int most_pictures = 0;      // in a conversation; 0: any number

  std::vector<Exemption> exemptions = {};  // those of its releases
  bool (*recognises)(const Config& config);
  /// Fills in sizes, names and blocks; ModelSpec::family and ::exemptions are there, and may be revised for a config.
  void (*add_blocks)(ModelSpec& model, const Config& config);
  /// Reads tokenizer and processor files of `directory`; prompts are by the template of `stated` if it has one.
  std::unique_ptr<Processor> (*make_processor)(const std::filesystem::path& directory, const Config& config,
                                               const ChatTemplate& stated);

  /// Sizes and names from config.json.  Throws Error{input} for a missing or contradictory key, Error{unsupported} for
  /// one that the family does not know.
  ModelSpec describe(const Config& config) const;
};

const std::vector<const Family*>& all_families();

/// Throws Error{unsupported} with the nearest supported model type and the page that tells how to add one.
const Family& find_family(const Config& config);

}  // namespace mquant
