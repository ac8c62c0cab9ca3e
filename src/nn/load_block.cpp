// The blocks of a checkpoint: names found, shapes checked, fused tensors split, constants folded.
#include <ATen/ops/empty.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/layer_norm.h>

#include <algorithm>
#include <cmath>

#include "io/finite.h"
#include "model/stored_tensors.h"
#include "mquant/block.h"
#include "mquant/error.h"
#include "nn/tensors.h"
#include "support/strings.h"

namespace mquant {
namespace {

/// Finds tensors under the name of the description or, failing that, under those of other releases.
class SourceReader {
 public:
  SourceReader(const Checkpoint& checkpoint, const ModelSpec& model, at::ScalarType dtype)
      : checkpoint_(checkpoint), model_(model), dtype_(dtype) {}

  bool has(const Source& source) const { return checkpoint_.has(find(source)); }

  /// The whole stored tensor, in `shape`; checked.
  at::Tensor read(const Source& source, const std::vector<std::int64_t>& shape) const {
    const std::string name = find(source);
    const TensorView view = checked(name, shape);
    expect_finite(name, view);
    return to_tensor(view, dtype_);
  }

  /// Rows [begin, begin + count) of a stored tensor of that shape.
  at::Tensor read_rows(const Source& source, const std::vector<std::int64_t>& shape, std::int64_t begin,
                       std::int64_t count) const {
    TensorView view = checked(find(source), shape);
    const std::size_t row = view.bytes.size() / static_cast<std::size_t>(std::max<std::int64_t>(1, shape[0]));
    view.bytes =
        view.bytes.subspan(static_cast<std::size_t>(begin) * row, static_cast<std::size_t>(count) * row);
    view.shape[0] = count;
    return to_tensor(view, dtype_);
  }

  at::ScalarType dtype() const { return dtype_; }

 private:
  TensorView checked(const std::string& name, const std::vector<std::int64_t>& shape) const {
    TensorView view = checkpoint_.get(name);
    if (view.shape != shape)
      fail(ErrorKind::input, checkpoint_.directory().string(), ": tensor '", name, "': expected shape ",
           shape_text(shape), " by config.json, found ", shape_text(view.shape));
    if (view.dtype != DType::bf16 && view.dtype != DType::f16 && view.dtype != DType::f32 &&
        view.dtype != DType::f64)
      fail(ErrorKind::unsupported, checkpoint_.directory().string(), ": tensor '", name, "' holds ",
           dtype_name(view.dtype), ": only float checkpoints can be quantized");
    return view;
  }

  std::string find(const Source& source) const {
    return name_in(model_, source.name, source.otherwise,
                   [this](const std::string& candidate) { return checkpoint_.has(candidate); });
  }

  const Checkpoint& checkpoint_;
  const ModelSpec& model_;
  at::ScalarType dtype_;
};

at::Tensor part_of(const at::Tensor& whole, const Source& source, const BlockSpec& block) {
  if (source.fused == Fused::none) return whole;
  return whole.index_select(0, index_tensor(fused_rows(source, block.attention, whole.size(0))));
}

at::Tensor scaled_rows(const SourceReader& reader, const Source& source, const at::Tensor& x) {
  if (source.row_scale.empty()) return x;
  const at::Tensor factors = reader.read(stored(source.row_scale), {x.size(0)});
  return x.dim() == 1 ? x * factors : x * factors.unsqueeze(1);
}

/// [out, in]
at::Tensor read_weight(const SourceReader& reader, const Source& source, std::int64_t out, std::int64_t in,
                       const BlockSpec& block) {
  if (source.identity) return at::eye(out, reader.dtype());
  at::Tensor whole = reader.read(source, stored_shape(source, out, in, block));
  if (source.channels_last) whole = whole.permute({0, 2, 3, 1});
  whole = source.transposed ? whole.t().contiguous() : whole.reshape({stored_rows(source, out, block), in});
  return scaled_rows(reader, source, part_of(whole, source, block));
}

at::Tensor read_bias(const SourceReader& reader, const Source& source, std::int64_t out,
                     const BlockSpec& block) {
  if (!source) return {};
  const at::Tensor whole = reader.read(source, {stored_rows(source, out, block)});
  return scaled_rows(reader, source, part_of(whole, source, block));
}

NormWeights load_norm(const SourceReader& reader, const NormSpec& norm) {
  NormWeights weights{.kind = norm.kind, .eps = norm.eps, .scale = {}, .shift = {}};
  if (norm.weight) weights.scale = reader.read(norm.weight, {norm.width});
  if (norm.one_plus) weights.scale.add_(1);
  if (norm.bias) weights.shift = reader.read(norm.bias, {norm.width});
  return weights;
}

/// Row p: sines of p * 10000^(-j / (width / 2)), then cosines.  Source: arXiv 1706.03762, section 3.5, halves apart.
at::Tensor sincos_rows(std::int64_t rows, std::int64_t width, at::ScalarType dtype) {
  at::Tensor table = at::empty({rows, width}, at::kDouble);
  const std::int64_t half = width / 2;
  for (std::int64_t p = 0; p < rows; ++p)
    for (std::int64_t j = 0; j < half; ++j) {
      const double angle =
          static_cast<double>(p) / std::pow(10000.0, static_cast<double>(j) / static_cast<double>(half));
      table.data_ptr<double>()[p * width + j] = std::sin(angle);
      table.data_ptr<double>()[p * width + half + j] = std::cos(angle);
    }
  return table.to(dtype);
}

at::Tensor folded(const SourceReader& reader, const ParamSpec& param, at::Tensor x, const BlockSpec& block) {
  const Folding& f = *param.folding;
  if (f.norm) {
    const NormWeights norm = load_norm(reader, *f.norm);
    if (norm.kind != NormKind::layer)
      fail(ErrorKind::internal, "parameter '", param.name, "': only LayerNorms are folded into constants");
    x = at::layer_norm(x, {f.norm->width}, norm.scale, norm.shift, norm.eps);
  }
  if (f.positions) x = x + reader.read(f.positions, x.sizes().vec());
  at::Tensor weight = read_weight(reader, f.weight, param.shape[1], f.in, block);
  if (f.columns != 0) weight = weight.narrow(1, f.first_column, f.columns);
  x = x.matmul(weight.t());
  return f.bias ? x + read_bias(reader, f.bias, param.shape[1], block) : x;
}

/// Undefined if it is optional and absent.
at::Tensor load_param(const SourceReader& reader, const ParamSpec& param, const BlockSpec& block) {
  if (param.source.optional && !reader.has(param.source)) return {};
  const std::vector<std::int64_t> shape = unfolded_shape(param);
  at::Tensor x = param.sincos ? sincos_rows(shape[0], shape[1], reader.dtype())
                              : reader.read(param.source, stored_shape(param)).reshape(shape);
  return param.folding ? folded(reader, param, x, block) : x;
}

}  // namespace

Block load_block(const Checkpoint& checkpoint, const ModelSpec& model, const BlockSpec& spec,
                 at::ScalarType dtype) {
  const SourceReader reader(checkpoint, model, dtype);
  Block block(spec);
  for (const LinearSpec& linear : spec.linears) {
    Linear& loaded = block.linears[linear.name];
    loaded.weight = read_weight(reader, linear.weight, linear.out, linear.in, spec);
    loaded.bias = read_bias(reader, linear.bias, linear.out, spec);
  }
  for (const NormSpec& norm : spec.norms) block.norms[norm.name] = load_norm(reader, norm);
  for (const ParamSpec& param : spec.params) block.params[param.name] = load_param(reader, param, spec);
  return block;
}

Block load_rows_of_end(const Checkpoint& checkpoint, const ModelSpec& model, const BlockSpec& end,
                       const BlockSpec& rows, std::int64_t begin, at::ScalarType dtype) {
  const SourceReader reader(checkpoint, model, dtype);
  Block block(rows);
  for (std::size_t i = 0; i < end.linears.size(); ++i) {
    const LinearSpec& whole = end.linears[i];
    const std::int64_t count = rows.linears[i].out;
    Linear& loaded = block.linears[whole.name];
    loaded.weight = reader.read_rows(whole.weight, {whole.out, whole.in}, begin, count);
    if (whole.bias) loaded.bias = reader.read_rows(whole.bias, {whole.out}, begin, count);
  }
  for (const NormSpec& norm : end.norms) block.norms[norm.name] = load_norm(reader, norm);
  for (std::size_t i = 0; i < end.params.size(); ++i)
    block.params[end.params[i].name] =
        reader.read_rows(end.params[i].source, end.params[i].shape, begin, rows.params[i].shape[0]);
  return block;
}

}  // namespace mquant
