// How a file of this folder makes its entry of the table.
#pragma once

#include <memory>
#include <vector>

#include "mquant/pass.h"

namespace mquant {

/// `facts`, and those that are found from weights and inputs: what a pass that rewrites weights precedes.
inline std::vector<Fact> with_measured(std::vector<Fact> facts = {}) {
  facts.insert(facts.end(), {Fact::smoothed_inputs, Fact::split_columns, Fact::input_scales, Fact::codes});
  return facts;
}

struct NoOptions {
  void bind(OptionBinder&) {}
};

/// The entry of pass P with the options of P::Options, which P is made from.
template <class P>
PassInfo entry(PassInfo info) {
  using Options = typename P::Options;
  info.options = describe_options<Options>();
  info.make = [](const Config& values) -> std::unique_ptr<Pass> {
    return std::make_unique<P>(read_options<Options>(values));
  };
  return info;
}

}  // namespace mquant
