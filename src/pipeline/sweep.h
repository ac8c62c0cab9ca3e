// The driver of one block's calibration: takes all samples through its steps, once, and collects
// what passes ask for.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "mquant/compile.h"
#include "passes/collected.h"
#include "pipeline/collectors.h"
#include "pipeline/state_store.h"
#include "runtime/row_program.h"

namespace mquant {

/// Samples stand between two steps; a look at a group's inputs runs them on to its first linear,
/// so that no step runs twice: what stands there stays in the store for further looks.  Groups
/// come in order of execution, and linears of earlier groups are final.
class Sweep {
 public:
  /// @param states    every sample at the input of `block`; moved on by this object
  /// @param executor  fast: batches through prepared steps; plain: sample by sample, step by step.
  ///                  The same bits.
  Sweep(Block& block, StateStore& states, Executor executor);

  /// Collects what is asked for of the inputs of `group` into `collected`.
  void look(const LinearGroup& group, const Request& request, Collected& collected);
  /// The same of the keys and values of the block's attention.
  CollectedCache look_at_cache(const CacheRequest& request);
  /// The inputs of `group` times factors [in], which a pass has just taken out of what made them.
  void scale_inputs(const LinearGroup& group, const at::Tensor& factors);
  /// Runs what is left of the block.
  void finish();

  /// How many times each step has run over the samples.
  const std::vector<std::int64_t>& runs() const { return runs_; }

 private:
  /// Runs every batch from where it stands to `step`, and shows it there with the registers
  /// `looked_at`.
  void advance(std::size_t step, const std::function<void(const Batch&)>& look,
               const std::set<std::string>& looked_at);
  Batch run_plain(const Batch& batch, StepRange steps) const;
  InputRows rows_of(const LinearGroup& group, const Batch& batch) const;

  Block& block_;
  StateStore& states_;
  Executor executor_;
  std::vector<std::size_t> batches_;  // with samples that take part
  std::size_t step_ = 0;              // where all samples stand
  std::vector<std::int64_t> runs_;    // by step
};

}  // namespace mquant
