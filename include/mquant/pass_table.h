// The table of passes: names, contracts, options, factories.  No tensor is seen here, so recipes, help texts and the
// generated documentation read it without libtorch's headers; pass.h has what a pass is.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mquant/config.h"
#include "mquant/options.h"

namespace mquant {

class Pass;

enum class Effect {
  keeps_function,  ///< checked under --verify-each: the block's output may only change by its declared frame
  approximates,
};

/// What a pass leaves in a block, and others rely on.
enum class Fact {
  folded_norms,
  centered_stream,
  rotated_stream,
  online_rotation,
  token_order,
  smoothed_inputs,
  split_columns,
  input_scales,
  cache_scales,
  codes,
};

struct FactInfo {
  Fact fact;
  std::string_view name, summary;
};
/// In the order of the enumerators.
inline constexpr std::array kFacts = {
    FactInfo{Fact::folded_norms, "folded norms", "norms before rotated streams have neither scale nor shift"},
    FactInfo{Fact::centered_stream, "centered stream",
             "rows have zero mean where LayerNorms read them, which are RMSNorms"},
    FactInfo{Fact::rotated_stream, "rotated stream",
             "residual streams and attention values have another basis"},
    FactInfo{Fact::online_rotation, "online rotation",
             "inputs are rotated at run time, weights by the inverse"},
    FactInfo{Fact::token_order, "token order", "each class of tokens is one run of rows"},
    FactInfo{Fact::smoothed_inputs, "smoothed inputs",
             "input channels are divided by factors that are in the weights"},
    FactInfo{Fact::split_columns, "split columns", "input channels apart from the integer matrix"},
    FactInfo{Fact::input_scales, "input scales", "a static scale of the input for each class of tokens"},
    FactInfo{Fact::cache_scales, "cache scales", "static scales of keys and values"},
    FactInfo{Fact::codes, "codes", "weights are integers"},
};
constexpr std::string_view fact_name(Fact fact) { return kFacts[static_cast<std::size_t>(fact)].name; }

/// A fact that an earlier pass of the recipe has to provide.
struct Need {
  Fact fact;
  std::vector<std::string> with = {};  // boolean options: needed where one of them is on; none: always
};

/// `needs`, `provides` and `precedes` are the contract by which recipes are checked (recipe.h).
struct PassInfo {
  std::string name;
  Effect effect = Effect::approximates;
  std::string summary;
  std::vector<Need> needs = {};
  std::vector<Fact> provides = {};
  /// The pass stands before each that provides one of these: they would not hold after it.
  std::vector<Fact> precedes = {};
  std::vector<PassOption> options = {};
  /// `options` holds every option, defaults filled in.
  std::unique_ptr<Pass> (*make)(const Config& options) = nullptr;

  bool owns(Fact fact) const { return std::ranges::find(provides, fact) != provides.end(); }
};

/// In an order that satisfies all contracts.
const std::vector<PassInfo>& all_passes();
/// Throws Error{usage} with the nearest name.
const PassInfo& find_pass(std::string_view name);

}  // namespace mquant
