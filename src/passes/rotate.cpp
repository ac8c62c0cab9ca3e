// rotate: rotate residual streams (R1) and attention values (R2) by random orthogonal Hadamard matrices.
//
// x' = x R needs W' = W R where a linear reads the space and W' = R^T W, b' = b R where it writes it; bare RMSNorms
// do not notice.  Outlier channels are spread over all channels, so one scale a tensor loses less.
// A tower whose means are read behind it (by a LayerNorm over several patches, or by a linear without a norm) cannot
// be centered: it keeps its LayerNorms, and is rotated by a matrix that keeps the vector of ones.
// Source: QuaRot, arXiv 2404.00456; R1 and R2 as SpinQuant, arXiv 2405.16406, names them; MQuant, section 4.1.
//
// keeps  the block's output up to the rotation of the space it is in (Frame::turned)
#include "mquant/error.h"
#include "mquant/pass.h"
#include "passes/entry.h"
#include "passes/facts.h"

namespace mquant {
namespace {

class Rotate final : public Pass {
 public:
  using Options = RotateOptions;
  explicit Rotate(const Options& options) : spaces_(streams_to_rotate(options)) {
    if (options.value) spaces_.push_back(Space::value);
  }

  void run(Block& block, PassContext& ctx) override {
    for (const Space space : spaces_)
      if (touches(block.spec(), space) && !exempted(*ctx.model, "rotate", space)) turn(block, space, ctx);
  }

 private:
  static bool touches(const BlockSpec& spec, Space space) {
    for (const LinearSpec& linear : spec.linears)
      if (linear.reads == space || linear.writes == space) return true;
    for (const ParamSpec& param : spec.params)
      if (param.space == space) return true;
    return false;
  }

  static void require_bare_norms(const Block& block, Space space, bool layer_norms) {
    for (const NormSpec& spec : block.spec().norms) {
      const NormWeights& norm = block.norm(spec.name);
      const bool turns = norm.kind == NormKind::rms || layer_norms;
      require(spec.space != space || (turns && !norm.scale.defined() && !norm.shift.defined()), "norm '",
              spec.name, "' of ", block.spec().name, " is no bare RMSNorm after fold-norms and bake-means");
    }
  }

  /// This is all of `rotate`, for every family.
  static void turn(Block& block, Space space, PassContext& ctx) {
    require_bare_norms(block, space, keeps_means(*ctx.model, space));
    const Rotation rotation = rotation_of(*ctx.model, block.spec(), space, ctx.seed);
    for (const LinearSpec& spec : block.spec().linears) {
      Linear& linear = block.linear(spec.name);
      if (spec.reads == space) linear.weight = times(linear.weight, rotation);
      if (spec.writes != space) continue;
      linear.weight = times(linear.weight.t(), rotation).t().contiguous();
      if (linear.bias.defined()) linear.bias = times(linear.bias, rotation);
    }
    for (const ParamSpec& spec : block.spec().params)
      if (spec.space == space) block.param(spec.name) = times(block.param(spec.name), rotation);
    block.frames[space].turned = true;
    ctx.count("spaces_turned");
  }

  std::vector<Space> spaces_;
};

}  // namespace

extern const PassInfo rotate_pass = entry<Rotate>({
    .name = "rotate",
    .effect = Effect::keeps_function,
    .summary = "Rotate residual streams (R1) and attention values (R2) by random Hadamard matrices",
    .needs = {{Fact::folded_norms, {"vision", "decoder"}}, {Fact::centered_stream, {"vision"}}},
    .provides = {Fact::rotated_stream},
    .precedes = with_measured({Fact::cache_scales}),
});

}  // namespace mquant
