// --min-exact, --max-perplexity and --max-kl of eval.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "mquant/compile.h"

namespace mquant::cli {

struct BoundOptions {
  void add_options(CLI::App& command);
  /// @throws Error{usage} for what is not a number, an unknown class, and a bound that is given
  /// twice
  EvalBounds bounds() const;

 private:
  std::optional<std::string> min_exact_, max_perplexity_;  // as written
  std::vector<std::string> max_kl_;
};

}  // namespace mquant::cli
