// rotate-online: rotate inputs of linears by a Hadamard matrix that is applied at run time: that of each MLP's last linear
// (R4), and those that come from a residual stream which cannot be rotated offline.
//
// The nonlinearity before it does not commute with a rotation, so the activation is turned by a fast transform and the
// inverse is folded into the weight:  (x R)(W R)^T == x W^T.
// A plain Hadamard matrix gathers the mean of the channels in a few of them (MQuant, section 3.2: new outliers, which
// `suppress` takes out); random signs in front of it spread the mean, too.
// Where a family exempts a stream from R1, the linears that read it see its outlier channels: as they are, or through a
// norm whose scale cannot be folded (fold-norms).  There the transform comes after the norm, one for each group of
// linears that share the input, and spreads both at the price of one transform a group.
// Source: QuaRot, arXiv 2404.00456, section 4 (R4); random signs: QuIP#, arXiv 2402.04396.
//
// keeps  the block's output
#include "model/ends.h"
#include "mquant/error.h"
#include "mquant/pass.h"
#include "passes/entry.h"
#include "passes/facts.h"
#include "passes/stream_options.h"
#include "support/rng.h"

namespace mquant {
namespace {

class RotateOnline final : public Pass {
 public:
  using Options = RotateOnlineOptions;
  explicit RotateOnline(const Options& options) : options_(options) {}

  void run(Block& block, PassContext& ctx) override {
    const BlockSpec& spec = block.spec();
    const QuantScheme scheme = ctx.scheme(spec);
    // Embeddings and head in 8 bits need no help, and a head that is tied to them has to stay the same matrix.
    if (scheme.is_float() || rounds_without_inputs(spec, scheme)) return;
    for (const LinearGroup& group : linear_groups(spec)) {
      const LinearSpec& first = spec.linear(group.linears.front());
      if (!rotates_online(options_, *ctx.model, spec, first)) continue;
      const OnlineRotation rotation =
          rotation_of(first.in, cat("rotate-online/", spec.name, "/", first.name), ctx.seed);
      for (const std::string& name : group.linears) {
        turn(block.linear(name), rotation);
        ctx.count("inputs_turned_online");
      }
    }
  }

 private:
  OnlineRotation rotation_of(std::int64_t width, const std::string& stream, std::uint64_t seed) const {
    OnlineRotation rotation{width, plan_hadamard(width).block, {}};
    if (options_.mode == Options::Mode::signs)
      rotation.signs = Rng(seed, stream).signs(static_cast<std::size_t>(width));
    return rotation;
  }

  static void turn(Linear& linear, const OnlineRotation& rotation) {
    linear.weight = times(linear.weight, {plan_hadamard(rotation.size, rotation.block), rotation.signs});
    linear.rotation = rotation;
  }

  Options options_;
};

}  // namespace

extern const PassInfo rotate_online_pass = entry<RotateOnline>({
    .name = "rotate-online",
    .effect = Effect::keeps_function,
    .summary = "Rotate the inputs of each MLP's last linear (R4), and those from streams exempted from R1, "
               "at run time",
    .provides = {Fact::online_rotation},
    .precedes = with_measured(),
});

}  // namespace mquant
