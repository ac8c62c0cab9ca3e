// A block in the form that runs fast: its weights packed, its row-wise steps compiled.
#pragma once

#include <vector>

#include "runtime/batch.h"
#include "runtime/row_program.h"

namespace mquant {

class PreparedBlock {
 public:
  /// Takes a block over and packs it; codes that were packed are not kept twice.
  explicit PreparedBlock(Block block);

  const BlockSpec& spec() const { return block_->spec(); }
  const Block& block() const { return *block_; }

  /// All steps on all samples that take part; afterwards the batch holds BlockSpec::keeps, and what the block did not
  /// mention.  Gives the bits of run_block on each sample, but for the dynamic and one-scale modes.
  void run(Batch& batch, const RunMode& mode) const;

  /// Memory of weights and parameters, and how many values they stand for.
  std::int64_t bytes() const;
  std::int64_t values() const;

 private:
  void run_step_of(const Step& step, Batch& batch, const RunMode& mode, const std::vector<bool>& takes_part) const;
  void run_compact(const Step& step, Batch& batch, const RunMode& mode) const;

  std::unique_ptr<Block> block_;  // programs point into it
  std::unique_ptr<PreparedLinears> linears_;
  std::vector<StepRange> ranges_;
  std::vector<RowProgram> programs_;  // one for each range
  std::vector<std::vector<std::string>> unused_;  // registers to drop, by the step that comes next
};

}  // namespace mquant
