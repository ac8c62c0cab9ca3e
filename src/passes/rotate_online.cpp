// rotate-online: turn the input of each MLP's last linear (R4) by a Hadamard matrix that is applied at run time.
//
// The nonlinearity before it does not commute with a rotation, so the activation is turned by a fast transform and the
// inverse is folded into the weight:  (x R)(W R)^T == x W^T.
// A plain Hadamard matrix gathers the mean of the channels in a few of them (MQuant, section 3.2: new outliers, which
// `suppress` takes out); random signs in front of it spread the mean, too.
// Source: QuaRot, arXiv 2404.00456, section 4 (R4); random signs: QuIP#, arXiv 2402.04396.
//
// keeps  the block's output
#include "mquant/error.h"
#include "mquant/pass.h"
#include "passes/facts.h"
#include "support/rng.h"

namespace mquant {
namespace {

class RotateOnline final : public Pass {
 public:
  explicit RotateOnline(const Config& options) : signs_(options.string("mode") == "signs") {
    for (const Tower tower : {Tower::vision, Tower::projector, Tower::decoder})
      if (options.boolean(tower_name(tower))) towers_.push_back(tower);
  }

  void run(Block& block, PassContext& ctx) override {
    const BlockSpec& spec = block.spec();
    if (std::ranges::find(towers_, spec.tower) == towers_.end()) return;
    for (const LinearSpec& linear : spec.linears) {
      if (linear.reads != Space::hidden || ctx.scheme(spec).is_float()) continue;
      turn(block.linear(linear.name), linear, cat("rotate-online/", spec.name, "/", linear.name), ctx.seed);
      ctx.count("inputs_turned_online");
    }
  }

 private:
  void turn(Linear& linear, const LinearSpec& spec, const std::string& stream, std::uint64_t seed) const {
    Rotation rotation{plan_hadamard(spec.in), {}};
    if (signs_) rotation.signs = Rng(seed, stream).signs(static_cast<std::size_t>(spec.in));
    linear.weight = times(linear.weight, rotation);
    linear.rotation = {spec.in, rotation.plan.block, rotation.signs};
  }

  bool signs_;
  std::vector<Tower> towers_;
};

}  // namespace

extern const PassInfo rotate_online_pass = {
    "rotate-online",
    Effect::keeps_function,
    "Turn the input of each MLP's last linear (R4) at run time",
    {{"mode", "\"hadamard\"", "plain matrix, or random signs in front of it", {"hadamard", "signs"}},
     {"vision", "true", "in the vision tower"},
     {"projector", "false", "in the projector"},
     {"decoder", "true", "in the decoder"}},
    [](const Config& options) -> std::unique_ptr<Pass> { return std::make_unique<RotateOnline>(options); }};

}  // namespace mquant
