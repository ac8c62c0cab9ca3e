// bake-means: make every row of a LayerNorm tower's residual stream zero-mean, and its LayerNorms RMSNorms.
//
// LayerNorm(x) == RMSNorm(x - mean(x)) for bare norms of one eps.  The mean is linear in x, so it can be taken out
// where x is written: output rows and bias of every linear that writes the stream, position embeddings, class token,
// patch convolution.  Then the norm commutes with an orthogonal matrix, which a LayerNorm does not (3 % error).
// Source: MQuant, arXiv 2502.00425, appendix A.13; SliceGPT, arXiv 2401.15024.
//
// keeps  the block's output up to its row means (Frame::centered).  RMSNorm towers are left alone: their norms see
//        the mean.  Post-LN towers are exempted by their family.  So are streams that the recipe does not rotate:
//        their norms keep their scales (fold-norms), and nothing would be gained.
#include "mquant/error.h"
#include "mquant/pass.h"
#include "passes/entry.h"
#include "passes/facts.h"

namespace mquant {
namespace {

class BakeMeans final : public Pass {
 public:
  using Options = NoOptions;
  explicit BakeMeans(const Options&) {}

  void run(Block& block, PassContext& ctx) override {
    for (const Space space : {Space::vision, Space::kv, Space::resampled})
      if (bakes_means(*ctx.model, ctx.rotated, space)) bake(block, space, ctx);
  }

 private:
  static void bake(Block& block, Space space, PassContext& ctx) {
    for (const LinearSpec& spec : block.spec().linears) {
      if (spec.writes != space) continue;
      Linear& linear = block.linear(spec.name);
      linear.weight = linear.weight - linear.weight.mean(0, true);
      if (linear.bias.defined()) linear.bias = linear.bias - linear.bias.mean();
      ctx.count("means_baked");
    }
    for (const ParamSpec& spec : block.spec().params)
      if (spec.space == space)
        block.param(spec.name) = block.param(spec.name) - block.param(spec.name).mean(-1, true);
    for (const NormSpec& spec : block.spec().norms) {
      if (spec.space != space) continue;
      NormWeights& norm = block.norm(spec.name);
      require(!norm.scale.defined() && !norm.shift.defined(), "norm '", spec.name, "' of ", block.spec().name,
              " has a scale or shift after fold-norms");
      norm.kind = NormKind::rms;
    }
    block.frames[space].centered = true;
  }
};

}  // namespace

extern const PassInfo bake_means_pass = entry<BakeMeans>({
    .name = "bake-means",
    .effect = Effect::keeps_function,
    .summary = "Turn LayerNorm towers into RMSNorm ones by taking means out of the weights",
    .needs = {{Fact::folded_norms}},
    .provides = {Fact::centered_stream},
    .precedes = with_measured({Fact::rotated_stream}),
});

}  // namespace mquant
