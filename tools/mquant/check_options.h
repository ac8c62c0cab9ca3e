// The self-check of a calibration on the command line: its options, what it shows, the verdict.
#pragma once

#include <CLI/CLI.hpp>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

namespace mquant::cli {

using Json = nlohmann::ordered_json;

/// --self-check and --max-kl.
struct CheckOptions {
  std::optional<std::int64_t> samples;  // absent: as the recipe says
  std::optional<double> max_kl;

  void add_options(CLI::App& command);
  /// As an override of the recipe, whose text says how a calibration was made.
  /// @throws Error{usage} for --max-kl without a check
  void add_to(const std::string& recipe, std::vector<std::string>& overrides) const;
  /// Is the largest KL of text and visual tokens within --max-kl?
  bool allows(const Json& report) const;
  /// @throws Error{verification} if it is not
  void expect(const Json& report) const;
};

/// KL and agreement by class, perplexity, and where the error grows; "" for a report without a check.
std::string self_check_screen(const Json& report);

/// The last line of a calibration that does not answer like its model, and what to try; "" for others.
std::string verdict(const Json& report);

}  // namespace mquant::cli
