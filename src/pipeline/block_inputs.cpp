// The walk through one block, group by group.
//
// States stand at a step; to show a group its inputs they are run on to it.  Where the registers there would take more
// than kStandingBytes (the inputs of a wide MLP), the states stay behind and each look at the inputs runs the steps
// between again: time for memory, bounded by the block's own cost.
#include "pipeline/block_inputs.h"

#include <ATen/Parallel.h>

#include "mquant/error.h"
#include "mquant/log.h"
#include "nn/attention.h"
#include "nn/linear.h"
#include "pipeline/for_all.h"

namespace mquant {
namespace {

constexpr std::size_t kStandingBytes = std::size_t{4} << 30;

std::size_t register_bytes(const SampleState& state) {
  std::size_t bytes = 0;
  for (const auto& [name, tensor] : state.registers) bytes += tensor.nbytes();
  return bytes;
}

}  // namespace

class CollectedInputs final : public GroupInputs {
 public:
  CollectedInputs(BlockInputs& walk, const LinearGroup& group) : walk_(walk), group_(group) {
    walk_.approach(group.step);
  }

  std::size_t samples() const override { return walk_.taking_part_.size(); }
  std::int64_t width() const override { return walk_.block_.spec().linear(group_.linears[0]).in; }

  void in_parallel(const Visit& visit) override {
    for_all(samples(), [&](std::size_t i) {
      const Input input = input_of(i);
      visit(i, input.x, input.classes);
    });
  }

  void in_order(const Visit& visit) override {
    const std::size_t batch = static_cast<std::size_t>(at::get_num_threads());
    std::vector<Input> inputs(batch);
    for (std::size_t begin = 0; begin < samples(); begin += batch) {
      const std::size_t count = std::min(batch, samples() - begin);
      for_all(count, [&](std::size_t i) { inputs[i] = input_of(begin + i); });
      for (std::size_t i = 0; i < count; ++i) visit(begin + i, inputs[i].x, inputs[i].classes);
      check_interrupt();
    }
  }

  void scale_columns(const at::Tensor& factors) override {
    if (walk_.step_ != group_.step) return;  // the steps before the group are run again and see the new norm
    for (const std::size_t i : walk_.taking_part_) {
      at::Tensor& x = walk_.states_[i].registers[group_.input];
      x = x * factors;
    }
  }

 private:
  struct Input {
    at::Tensor x;
    std::vector<TokenClass> classes;
  };

  Input input_of(std::size_t i) const {
    SampleState state = walk_.states_[walk_.taking_part_[i]];  // registers are shared, not copied
    run_steps(walk_.block_, state, walk_.step_, group_.step);
    const BlockSpec& spec = walk_.block_.spec();
    Input input{rotate_input(walk_.block_.linear(group_.linears[0]), state.registers.at(group_.input)), {}};
    input.classes = row_classes(spec, spec.linear(group_.linears[0]).rows, state, input.x.size(0));
    return input;
  }

  BlockInputs& walk_;
  const LinearGroup& group_;
};

class CollectedAttention final : public AttentionInputs {
 public:
  explicit CollectedAttention(BlockInputs& walk) : walk_(walk), step_(walk.block_.spec().attention_step()) {}

  std::size_t samples() const override { return walk_.taking_part_.size(); }

  void in_parallel(const Visit& visit) override {
    walk_.approach(step_);
    const Step& attention = walk_.block_.spec().steps[step_];
    for_all(samples(), [&](std::size_t i) {
      SampleState state = walk_.states_[walk_.taking_part_[i]];
      run_steps(walk_.block_, state, walk_.step_, step_);
      visit(i, rotated_keys(walk_.block_, state, state.registers.at(attention.in[1])),
            state.registers.at(attention.in[2]));
    });
  }

 private:
  BlockInputs& walk_;
  std::size_t step_;
};

BlockInputs::BlockInputs(Block& block, std::vector<SampleState>& states) : block_(block), states_(states) {
  for (std::size_t i = 0; i < states.size(); ++i)
    if (takes_part(block.spec(), *states[i].features)) taking_part_.push_back(i);
}

std::unique_ptr<GroupInputs> BlockInputs::inputs_of(const LinearGroup& group) {
  return std::make_unique<CollectedInputs>(*this, group);
}

std::unique_ptr<AttentionInputs> BlockInputs::attention_inputs() {
  return std::make_unique<CollectedAttention>(*this);
}

void BlockInputs::approach(std::size_t step) {
  if (bytes_at(step) <= kStandingBytes) advance(step);
}

void BlockInputs::finish() { advance(block_.spec().steps.size()); }

void BlockInputs::advance(std::size_t step) {
  check_interrupt();
  for_all(taking_part_.size(),
          [&](std::size_t i) { run_steps(block_, states_[taking_part_[i]], step_, step); });
  step_ = step;
}

std::size_t BlockInputs::bytes_at(std::size_t step) const {
  if (taking_part_.empty()) return 0;
  SampleState state = states_[taking_part_[0]];
  const std::size_t before = std::max<std::size_t>(1, register_bytes(state));
  run_steps(block_, state, step_, step);
  const std::size_t after = register_bytes(state);
  std::size_t total = 0;
  for (const std::size_t i : taking_part_) total += register_bytes(states_[i]);
  return static_cast<std::size_t>(static_cast<double>(total) * static_cast<double>(after) /
                                  static_cast<double>(before));
}

}  // namespace mquant
