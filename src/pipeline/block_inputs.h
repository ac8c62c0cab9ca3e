// Runs all samples through one block, stopping where a group of linears wants to see its inputs.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "mquant/block.h"
#include "passes/attention_inputs.h"
#include "passes/group_inputs.h"

namespace mquant {

class BlockInputs {
 public:
  /// `states`: every sample at the input of `block`; moved on by this object.
  BlockInputs(Block& block, std::vector<SampleState>& states);

  /// The inputs of `group`.  Groups come in order of execution; the linears of earlier ones are final.
  std::unique_ptr<GroupInputs> inputs_of(const LinearGroup& group);

  /// The keys and values of the block's attention; comes before the groups behind it.  Costs nothing until it is looked
  /// at.
  std::unique_ptr<AttentionInputs> attention_inputs();

  /// Runs what is left of the block.
  void finish();

 private:
  friend class CollectedInputs;
  friend class CollectedAttention;
  /// Runs on to `step`, unless that would take too much memory.
  void approach(std::size_t step);
  /// Runs every sample from where it stands to `step`, and stands there.
  void advance(std::size_t step);
  /// Bytes of all registers that a run to `step` would leave, judged by the first sample.
  std::size_t bytes_at(std::size_t step) const;

  Block& block_;
  std::vector<SampleState>& states_;
  std::vector<std::size_t> taking_part_;  // indices of states
  std::size_t step_ = 0;                  // where all states stand
};

}  // namespace mquant
