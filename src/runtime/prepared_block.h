// A block in the form that runs fast: its weights packed, its row-wise steps compiled.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "runtime/batch.h"
#include "runtime/row_program.h"

namespace mquant {

/// Steps [begin, end) of a block, whose linears are final by now: its codes packed, its row-wise
/// steps compiled.  While a block is calibrated, each stretch between two groups of linears is one
/// of these.
class PreparedSteps {
 public:
  /// Packs the codes of linears within the steps.  `block` must outlive this, and its norms stay
  /// as they are.
  PreparedSteps(const Block& block, StepRange steps);

  /// The steps on all samples that take part, unused registers dropped on the way.  Gives the bits
  /// of run_steps on each sample, but for the dynamic and one-scale modes.
  void run(Batch& batch, const RunMode& mode) const;

  /// Linears that run by their packed codes here.
  const PreparedLinears& linears() const { return *linears_; }

 private:
  void run_step_of(const Step& step, Batch& batch, const RunMode& mode,
                   const std::vector<bool>& takes_part) const;
  void run_compact(const Step& step, Batch& batch, const RunMode& mode) const;
  const BlockSpec& spec() const { return block_->spec(); }

  const Block* block_;
  StepRange steps_;
  std::unique_ptr<PreparedLinears> linears_;  // programs point into it
  std::vector<StepRange> ranges_;
  std::vector<RowProgram> programs_;              // one for each range
  std::vector<std::vector<std::string>> unused_;  // registers to drop, by the step that comes next
};

class PreparedBlock {
 public:
  /// Takes a block over and packs it; codes that were packed are not kept twice.
  explicit PreparedBlock(Block block);

  const BlockSpec& spec() const { return block_->spec(); }
  const Block& block() const { return *block_; }

  /// All steps; afterwards the batch holds BlockSpec::keeps, and what the block did not mention.
  void run(Batch& batch, const RunMode& mode) const { steps_.run(batch, mode); }

  /// Memory of weights and parameters, and how many values they stand for.
  std::int64_t bytes() const;
  std::int64_t values() const;

 private:
  std::unique_ptr<Block> block_;
  PreparedSteps steps_;
};

}  // namespace mquant
