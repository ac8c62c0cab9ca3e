// A recipe: which scheme for which role, which passes in which order, how calibration runs.  JSON, in configs/.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "mquant/config.h"
#include "mquant/pass_table.h"
#include "mquant/sample.h"
#include "mquant/scheme.h"

namespace mquant {

struct PassConfig {
  std::string name;
  Config options = Config::parse("{}", "recipe");  // complete: defaults filled in
};

/// Tokens of class `sink`: those that the data show, the first token in any case, or none.
enum class SinkSetting { find, first_token, none };

struct CalibrationSettings {
  std::int64_t samples = 0;  ///< first n of the file; 0: all
  bool answers = true;       ///< the answer's tokens follow the prompt
  SinkSetting sinks = SinkSetting::find;
  /// That the model will meet, text among them: each needs rows of calibration.
  std::set<TokenClass> classes = {TokenClass::text, TokenClass::visual, TokenClass::sink};
  std::int64_t self_check = 4;  ///< samples that run beside the float model; 0: none
  bool quantized = true;  ///< later blocks see the output of quantized earlier ones; false: of float ones

  void bind(OptionBinder& options);
};

struct Recipe {
  std::string name, summary;
  /// By role: "patch_embed", "vision", "projector", "embed", "decoder", "head".
  std::map<std::string, QuantScheme> schemes;
  /// Scheme "tied" of "embed"; until a checkpoint settles it, `schemes` has float there.
  bool embeddings_follow_head = false;
  std::vector<PassConfig> passes;
  CalibrationSettings calibration;
  std::string json;  // canonical text, everything filled in: what the manifest records

  /// As a recipe spells it.
  std::string scheme_name(const std::string& role) const;
  /// Role of a block is its name up to the first dot.  Absent: float.
  QuantScheme scheme_of(const std::string& block_name) const;
  /// nullptr: the recipe lacks the pass.
  const PassConfig* find(std::string_view pass) const;
  /// A pass's struct of options; nullopt if the recipe lacks the pass.
  template <class Options>
  std::optional<Options> options_of(std::string_view pass) const {
    const PassConfig* config = find(pass);
    return config == nullptr ? std::nullopt : std::optional(read_options<Options>(config->options));
  }
};

/// `name_or_path`: a file, or a name in configs/ ("w4a8").  `overrides`: "key=value" with dotted keys; a pass is
/// addressed by its name: "round.damping=0.05", "schemes.vision=w4a8", "calibration.samples=64",
/// "calibrate-scales.granularity=per_tensor"; "drop=suppress" takes a pass out.
/// @throws Error{usage} for an unknown recipe, pass or key, with the nearest one, a value out of range, an order of passes
/// that breaks a contract, with one that does not; Error{input} for broken JSON.
Recipe load_recipe(const std::string& name_or_path, const std::vector<std::string>& overrides = {});
/// The same from text, for tests and from a manifest.
Recipe parse_recipe(const std::string& text, const std::string& origin,
                    const std::vector<std::string>& overrides = {});

/// Where load_recipe finds it.  @throws Error{usage} for a name that no folder has
std::filesystem::path recipe_file(const std::string& name_or_path);

struct RecipeInfo {
  std::string name, summary;
  std::filesystem::path file;
};
/// The recipes in configs/, in order of name: those of $MQUANT_CONFIG_DIR, of the installation, of the source tree.
std::vector<RecipeInfo> all_recipes();
/// A recipe is given by its path, which has a / or ends in .json, or by its name.
bool is_recipe_path(const std::string& text);
/// Their names, without reading them.
std::vector<std::string> recipe_names();

/// What "schemes" and "calibration" of a recipe may hold, with defaults: for parsing, help and documentation.
const std::vector<PassOption>& scheme_options();
const std::vector<PassOption>& calibration_options();
/// The contract of a pass in words: "needs folded norms (with vision or decoder)", "provides rotated stream", "before what
/// provides split columns, codes".
std::vector<std::string> contract_text(const PassInfo& pass);
/// The JSON schema (draft 7) of recipes, from the tables: configs/recipe.schema.json.
std::string recipe_schema();

}  // namespace mquant
