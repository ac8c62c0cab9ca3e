// A zoo file: which models, which recipes, and what each job must pass.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "mquant/options.h"
#include "mquant/zoo.h"

namespace mquant::zoo {

/// A file that says: this directory is the output of a zoo.
inline constexpr const char* kOutputMarker = ".mquant-zoo";

/// What an artifact must pass.  kind eval: within the bounds that are there.
struct Check {
  enum class Kind { verify, eval } kind = Kind::verify;
  std::string name;  // of an eval: names its stage
  std::filesystem::path data;
  std::int64_t limit = 0, max_new_tokens = 24;
  std::optional<double> min_exact, max_perplexity;
  std::map<std::string, double> max_kl;  // by token class; "": of every class

  bool needs_reference() const { return !max_kl.empty(); }
};

/// Settings that are one value each, as zoo files spell them.
struct Values {
  std::string data, chat_template, template_date, memory;
  std::int64_t seed = 0, threads = 0, timeout = 0;
  bool verify_each = false, keep_calibration = false;

  void bind(OptionBinder& options);
};

struct JobSpec {
  std::string name, model_name, recipe_name;  // name: MODEL.RECIPE
  std::filesystem::path model;
  std::string recipe;  // name or path
  std::vector<std::string> overrides;
  Values values;            // paths are resolved
  std::int64_t memory = 0;  // bytes that are stated in place of estimates; 0: none
  std::vector<std::string> formats;
  std::vector<Check> checks;
};

/// Reads `file` as far as it can be read; what is wrong goes to `problems`.  Relative paths are
/// those of the file's directory.
/// @param seed  of jobs that state none
std::vector<JobSpec> read_zoo(const std::filesystem::path& file, std::uint64_t seed,
                              std::vector<ZooProblem>& problems);
/// The same of a text that would lie in `file`.
std::vector<JobSpec> parse_zoo(const std::string& text, const std::filesystem::path& file, std::uint64_t seed,
                               std::vector<ZooProblem>& problems);

}  // namespace mquant::zoo
