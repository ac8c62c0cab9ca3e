// A pass rewrites blocks.  Recipes order passes; each is written once for all families.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "mquant/block.h"
#include "mquant/config.h"
#include "mquant/model.h"
#include "mquant/pass_table.h"
#include "mquant/scheme.h"

namespace mquant {

/// Statistics of the inputs of one group of linears, and of the keys and values of an attention,
/// over all calibration samples: what a pass asks for, and what was collected
/// (passes/collected.h).
struct Request;
struct Collected;
struct CacheRequest;
struct CollectedCache;

/// What passes have decided about one group of linears.
class GroupFacts;

/// A figure of one linear for the manifest and the log: {"output_sqnr_db", 31.2}.
using Figures = std::map<std::string, double>;

struct PassContext {
  const ModelSpec* model = nullptr;
  std::uint64_t seed = 0;
  std::function<QuantScheme(const BlockSpec&)> scheme;  ///< of the block's linears, by the recipe
  std::set<Space> rotated;            ///< residual streams that the recipe's `rotate` rotates in this model
  const PassInfo* running = nullptr;  ///< set by the loop
  std::map<std::string, Figures> figures;  ///< by linear; taken by the loop after each block
  void note(std::string_view linear, std::string_view figure, double value);
  void count(std::string_view counter, std::int64_t n = 1);
  std::map<std::string, std::int64_t, std::less<>> counters;
};

class Pass {
 public:
  virtual ~Pass() = default;
  /// Weights of a whole block, before any data is run through it.
  virtual void run(Block&, PassContext&) {}
  /// Weights of a block that is rounded without its inputs (model/ends.h), once the rest has its
  /// stored type.
  virtual void run_weights(Block&, PassContext&) {}
  /// What the pass still needs to know of a group's inputs before it decides, by what has been
  /// collected and decided so far.  Asked until there is nothing more; each answer costs a look at
  /// the inputs of all samples.
  virtual Request wants(const Block&, const LinearGroup&, const Collected&, const GroupFacts&,
                        const PassContext&) const;
  /// One group of linears, once all that it wants is collected; called in order of execution.
  virtual void decide(Block&, const LinearGroup&, Collected&, GroupFacts&, PassContext&) {}
  /// The same of the keys and values of a block with attention, once the linears that make them
  /// are final.
  virtual std::optional<CacheRequest> wants_cache(const Block&) const;
  virtual void decide_cache(Block&, const CollectedCache&, PassContext&) {}
  /// A sample's tokens, once, right after the embeddings are merged.
  virtual void run_tokens(SampleState&) {}
};

}  // namespace mquant
