// fold-norms: move each norm's scale and shift into the linears that read it.
//
// linear(norm(x) * g + b) == (W diag(g)) norm(x) + W b, so afterwards the norm is bare and `rotate` may turn the residual
// stream freely.  Source: QuaRot, arXiv 2404.00456, section 3; MQuant, arXiv 2502.00425, appendix A.13.
//
// A folded scale makes the columns of W as uneven as it is itself, and only a rotation of the stream evens them out
// again.  In Gemma 3 270M those before attention reach from 0.16 to 234: folded into weights that nothing rotates they
// leave int8 codes, let alone int4 ones, with nothing but the largest columns.  So a scale stays in its norm unless all
// linears that read the norm read a stream that `rotate` rotates.
//
// reads  norms and their linears       writes  norm scales and shifts, linear weights and biases
// keeps  the block's output
#include <algorithm>
#include <set>

#include "mquant/pass.h"
#include "passes/entry.h"
#include "passes/facts.h"
#include "passes/stream_options.h"

namespace mquant {
namespace {

class FoldNorms final : public Pass {
 public:
  using Options = FoldNormsOptions;
  explicit FoldNorms(const Options& options) : options_(options) {}

  void run(Block& block, PassContext& ctx) override {
    std::set<std::string> folded;
    for (const LinearSpec& spec : block.spec().linears) {
      if (spec.norm.empty() || !folds_norm(options_, ctx.rotated, block.spec(), spec.norm)) continue;
      fold(block, spec);
      folded.insert(spec.norm);
    }
    for (const std::string& name : folded) {  // only now: several linears read one norm
      block.norm(name).scale = at::Tensor();
      block.norm(name).shift = at::Tensor();
      ctx.count("norms_folded");
    }
  }

 private:
  static void fold(Block& block, const LinearSpec& spec) {
    const NormWeights& norm = block.norm(spec.norm);
    at::Tensor& weight = block.linear(spec.name).weight;                        // [out, in]
    const std::int64_t repeats = spec.in / block.spec().norm(spec.norm).width;  // several patches in one row
    const auto tiled = [&](const at::Tensor& v) { return v.repeat({repeats}); };
    if (norm.shift.defined())
      block.add_bias(spec.name, weight.mv(tiled(norm.shift)));  // before the weight changes
    if (norm.scale.defined()) weight = weight * tiled(norm.scale);
  }

  Options options_;
};

}  // namespace

extern const PassInfo fold_norms_pass = entry<FoldNorms>({
    .name = "fold-norms",
    .effect = Effect::keeps_function,
    .summary = "Move norm scales and shifts into the linears that read them",
    // Into weights that are rotated for their input, a scale would go along the wrong axes.
    .provides = {Fact::folded_norms},
    .precedes = with_measured({Fact::online_rotation}),
});

}  // namespace mquant
