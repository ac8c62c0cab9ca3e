#include "tensor_plan.h"

#include <cmath>
#include <set>

namespace mquant {
namespace {

constexpr float kBias = 0.02F, kNorm = 0.05F, kTable = 0.02F;  // deviations

class TensorPlan {
 public:
  explicit TensorPlan(bool tied) : tied_(tied) {}

  void add(const BlockSpec& block) {
    for (const LinearSpec& linear : block.linears) {
      add_weight(linear.weight, linear.out, linear.in, block);
      add_vector(linear.bias, stored_rows(linear.bias, linear.out, block), 0, kBias);
    }
    for (const NormSpec& norm : block.norms) add_norm(norm);
    for (const ParamSpec& param : block.params) add_param(param, block);
  }

  std::vector<RandomTensor> take() { return std::move(tensors_); }

 private:
  /// Height of the tensor of which `source` is `out` rows.
  static std::int64_t stored_rows(const Source& source, std::int64_t out, const BlockSpec& block) {
    if (source.fused == Fused::none) return out;
    if (source.part == Part::gate || source.part == Part::up) return 2 * out;
    return (block.attention.heads + 2 * block.attention.kv_heads) * block.attention.head_dim;
  }

  void add(const Source& source, std::vector<std::int64_t> shape, float mean, float deviation) {
    if (!source || source.optional || source.identity || (tied_ && !source.otherwise.empty())) return;
    if (seen_.insert(source.name).second)
      tensors_.push_back({source.name, std::move(shape), mean, deviation});
  }

  void add_vector(const Source& source, std::int64_t size, float mean, float deviation) {
    add(source, {size}, mean, deviation);
  }

  void add_weight(const Source& source, std::int64_t out, std::int64_t in, const BlockSpec& block) {
    const std::int64_t rows = stored_rows(source, out, block);
    const std::vector<std::int64_t> plain = source.transposed ? std::vector{in, rows} : std::vector{rows, in};
    const std::vector<std::int64_t>& shape = source.stored_shape.empty() ? plain : source.stored_shape;
    add(source, shape, 0, static_cast<float>(1 / std::sqrt(static_cast<double>(in))));
    if (source.row_scale.empty()) return;
    Source scale;
    scale.name = source.row_scale;
    add_vector(scale, out, 1, kNorm);
  }

  void add_norm(const NormSpec& norm) {
    add_vector(norm.weight, norm.width, norm.one_plus ? 0.0F : 1.0F, kNorm);
    add_vector(norm.bias, norm.width, 0, kBias);
  }

  void add_param(const ParamSpec& param, const BlockSpec& block) {
    std::vector<std::int64_t> shape = param.shape;
    if (param.folding) {
      const Folding& f = *param.folding;
      shape.back() = f.columns == 0 ? f.in : f.columns;
      if (f.norm) add_norm(*f.norm);
      add(f.positions, shape, 0, kTable);
      add_weight(f.weight, param.shape[1], f.in, block);
      add_vector(f.bias, stored_rows(f.bias, param.shape[1], block), 0, kBias);
    }
    if (!param.sincos)
      add(param.source, param.source.stored_shape.empty() ? shape : param.source.stored_shape, 0, kTable);
  }

  bool tied_;
  std::set<std::string> seen_;
  std::vector<RandomTensor> tensors_;
};

}  // namespace

std::vector<RandomTensor> tensors_of(const ModelSpec& model, bool tied) {
  TensorPlan plan(tied);
  for (const BlockSpec& block : model.blocks) plan.add(block);
  return plan.take();
}

}  // namespace mquant
