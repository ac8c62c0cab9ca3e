// The options of passes that choose static scales.
#pragma once

#include <string_view>

#include "mquant/config.h"
#include "mquant/error.h"
#include "quant/observer.h"

namespace mquant {

/// The rule that option `rule` names, with the pass's option "percentile"; scales in bfloat16.
/// @throws Error{usage} for a percentile out of range
inline ScaleOptions scale_rule(const Config& options, std::string_view rule, std::string_view pass) {
  const std::string text = options.string(rule);
  const double percentile = options.number("percentile");
  if (percentile <= 0 || percentile > 100)
    fail(ErrorKind::usage, pass, ".percentile is ", percentile, ": expected 0 < percentile <= 100");
  return {.rule = text == "max"   ? ScaleRule::max
                  : text == "mse" ? ScaleRule::mse
                                  : ScaleRule::percentile,
          .percentile = percentile / 100};
}

}  // namespace mquant
