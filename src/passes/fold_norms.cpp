// fold-norms: move each norm's scale and shift into the linears that read it.
//
// linear(norm(x) * g + b) == (W diag(g)) norm(x) + W b, so afterwards every norm is bare and `rotate` may turn the
// residual space freely.  Source: QuaRot, arXiv 2404.00456, section 3; MQuant, arXiv 2502.00425, appendix A.13.
//
// reads  norms and their linears       writes  norm scales and shifts, linear weights and biases
// keeps  the block's output
#include <set>

#include "mquant/pass.h"

namespace mquant {
namespace {

class FoldNorms final : public Pass {
 public:
  void run(Block& block, PassContext& ctx) override {
    std::set<std::string> folded;
    for (const LinearSpec& spec : block.spec().linears) {
      if (spec.norm.empty()) continue;
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
};

}  // namespace

extern const PassInfo fold_norms_pass = {
    "fold-norms",
    Effect::keeps_function,
    "Move norm scales and shifts into the linears that read them",
    {},
    [](const Config&) -> std::unique_ptr<Pass> { return std::make_unique<FoldNorms>(); }};

}  // namespace mquant
