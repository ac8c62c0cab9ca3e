#include "model/stored_tensors.h"

#include <set>

#include "support/checked.h"

namespace mquant {
namespace {

class Collector {
 public:
  explicit Collector(const BlockSpec& block) : block_(block) {}

  void add(const LinearSpec& linear) {
    add_weight(linear.weight, linear.out, linear.in);
    add_bias(linear.bias, linear.out);
  }

  void add(const NormSpec& norm) {
    add(norm.weight, {norm.width}, norm.one_plus ? TensorUse::scale_less : TensorUse::scale);
    add(norm.bias, {norm.width}, TensorUse::bias);
  }

  void add(const ParamSpec& param) {
    if (param.folding) {
      const Folding& f = *param.folding;
      if (f.norm) add(*f.norm);
      add(f.positions, unfolded_shape(param), TensorUse::table);
      add_weight(f.weight, param.shape[1], f.in);
      add_bias(f.bias, param.shape[1]);
    }
    if (!param.sincos) add(param.source, stored_shape(param), TensorUse::table);
  }

  std::vector<StoredTensor> take() { return std::move(tensors_); }

 private:
  void add(const Source& source, std::vector<std::int64_t> shape, TensorUse use, std::int64_t in = 0) {
    if (!source || source.identity || !seen_.insert(source.name).second) return;
    checked_product(shape);
    tensors_.push_back({source.name, source.otherwise, std::move(shape), use, source.optional, in});
  }

  void add_weight(const Source& source, std::int64_t out, std::int64_t in) {
    add(source, stored_shape(source, out, in, block_), TensorUse::weight, in);
    if (!source.row_scale.empty()) add(stored(source.row_scale), {out}, TensorUse::scale);
  }

  void add_bias(const Source& source, std::int64_t out) {
    add(source, {stored_rows(source, out, block_)}, TensorUse::bias);
  }

  const BlockSpec& block_;
  std::set<std::string> seen_;
  std::vector<StoredTensor> tensors_;
};

}  // namespace

std::vector<StoredTensor> stored_tensors(const BlockSpec& block) {
  Collector collector(block);
  for (const LinearSpec& linear : block.linears) collector.add(linear);
  for (const NormSpec& norm : block.norms) collector.add(norm);
  for (const ParamSpec& param : block.params) collector.add(param);
  return collector.take();
}

std::int64_t stored_rows(const Source& source, std::int64_t out, const BlockSpec& block) {
  if (source.fused == Fused::none) return out;
  if (source.part == Part::gate || source.part == Part::up) return checked_product({2, out});
  const AttentionSpec& a = block.attention;
  return checked_product({checked_sum({a.heads, a.kv_heads, a.kv_heads}), a.head_dim});
}

std::vector<std::int64_t> stored_shape(const Source& weight, std::int64_t out, std::int64_t in,
                                       const BlockSpec& block) {
  if (!weight.stored_shape.empty()) return weight.stored_shape;
  const std::int64_t rows = stored_rows(weight, out, block);
  return weight.transposed ? std::vector{in, rows} : std::vector{rows, in};
}

std::vector<std::int64_t> unfolded_shape(const ParamSpec& param) {
  std::vector<std::int64_t> shape = param.shape;
  if (param.folding) shape.back() = param.folding->columns == 0 ? param.folding->in : param.folding->columns;
  return shape;
}

std::vector<std::int64_t> stored_shape(const ParamSpec& param) {
  return param.source.stored_shape.empty() ? unfolded_shape(param) : param.source.stored_shape;
}

std::string name_in(const ModelSpec& model, const std::string& name, const std::string& otherwise,
                    const std::function<bool(const std::string&)>& exists) {
  const std::string own = resolve(name, model, exists);
  if (otherwise.empty() || exists(own)) return own;
  const std::string other = resolve(otherwise, model, exists);
  return exists(other) ? other : own;
}

}  // namespace mquant
