// The options of passes that choose static scales.
#pragma once

#include <initializer_list>
#include <utility>

#include "mquant/options.h"
#include "quant/observer.h"

namespace mquant {

inline constexpr std::initializer_list<std::pair<const char*, ScaleRule>> kScaleRules = {
    {"max", ScaleRule::max}, {"mse", ScaleRule::mse}, {"percentile", ScaleRule::percentile}};

/// The share of values that the rule `percentile` keeps, in percent.
struct Percentile {
  double percent = 99.999;

  void bind(OptionBinder& options) {
    options.number("percentile", percent, "of |x|, for the rule of that name", {.above = 0, .at_most = 100});
  }
  double share() const { return percent / 100; }
};

}  // namespace mquant
