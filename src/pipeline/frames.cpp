// Frames: comparing a block before and after a pass that turned or centered its spaces.
#include "pipeline/frames.h"

#include <algorithm>

#include "mquant/error.h"
#include "nn/stored.h"
#include "passes/facts.h"

namespace mquant {
namespace {

constexpr double kTolerance = 1e-4;

/// The space of a register that enters or leaves a block: streams are called "x", and all else that passes from block to
/// block is on its way into the decoder.
Space space_of(const BlockSpec& spec, const std::string& name) {
  if (name == "pixels" || name == "logits") return Space::none;
  if (name == "x" && !spec.on_tokens) return Space::vision;
  return Space::decoder;
}

Frame frame_of(const Block& block, Space space) {
  const auto it = block.frames.find(space);
  return it == block.frames.end() ? Frame{} : it->second;
}

}  // namespace

at::Tensor Frames::into(const Block& block, const std::string& name, const at::Tensor& x) const {
  const Space space = space_of(spec_, name);
  const Frame frame = frame_of(block, space);
  const at::Tensor y = frame.centered ? x - x.mean(-1, true) : x;
  return frame.turned ? times(y, rotation_of(model_, spec_, space, seed_)) : y;
}

at::Tensor Frames::out_of(const Block& block, const std::string& name, const at::Tensor& x) const {
  const Space space = space_of(spec_, name);
  return frame_of(block, space).turned ? times_inverse(x, rotation_of(model_, spec_, space, seed_)) : x;
}

double verify_function_kept(const ModelSpec& model, std::uint64_t seed,
                            const std::vector<Snapshot>& snapshots, const std::vector<SampleState>& states) {
  const Block& last = snapshots.back().block;
  const Block original = converted(snapshots.front().block, at::kDouble);
  const Frames frames(model, original.spec(), seed);
  double worst = 0;
  for (const SampleState& state : states) {
    SampleState plain = state;
    for (auto& [name, x] : plain.registers) x = frames.out_of(last, name, x.to(at::kDouble));
    SampleState expected = plain;
    run_block(original, expected);
    for (std::size_t i = 1; i < snapshots.size(); ++i) {
      const Block block = converted(snapshots[i].block, at::kDouble);
      SampleState found = plain;
      for (auto& [name, x] : found.registers) x = frames.into(block, name, x);
      run_block(block, found);
      for (const auto& [name, x] : expected.registers) {
        const at::Tensor want = frames.into(block, name, x);
        const double scale = std::max(want.abs().max().item<double>(), 1e-30);
        const double difference = (found.registers.at(name) - want).abs().max().item<double>() / scale;
        if (!(difference <= kTolerance))
          fail(ErrorKind::verification, "pass '", snapshots[i].pass, "' changed the output of ",
               original.spec().name, " by ", difference, " of its largest magnitude; at most ", kTolerance,
               " is rounding");
        worst = std::max(worst, difference);
      }
    }
  }
  return worst;
}

}  // namespace mquant
