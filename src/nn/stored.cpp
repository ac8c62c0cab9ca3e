// Blocks to and from the form in which calibrations and artifacts hold them.
#include "nn/stored.h"

#include <algorithm>

#include "model/ends.h"
#include "mquant/error.h"
#include "nn/tensors.h"

namespace mquant {
namespace {

bool holds_codes(const Linear& linear) {
  return linear.quantized != nullptr && !linear.quantized->codes.empty();
}

at::Tensor optional_tensor(const TensorData& data) {
  return data ? to_tensor(data, at::kFloat) : at::Tensor();
}

at::ScalarType held_as(const TensorData& data, const BlockSpec& spec, const std::string& name,
                       FloatTensors floats) {
  const bool compact = floats == FloatTensors::compact && data.dtype == DType::bf16 &&
                       (is_embedding(spec, name) || makes_logits(spec, name));
  return compact ? at::kBFloat16 : at::kFloat;
}

template <class Stored>
Stored& stored_part(std::map<std::string, Stored>& parts, const std::string& name, const BlockSpec& spec) {
  const auto it = parts.find(name);
  if (it == parts.end()) fail(ErrorKind::input, "block '", spec.name, "': no '", name, "' is stored");
  return it->second;
}

std::shared_ptr<const QuantizedLinear> embedding_of(StoredLinear& stored, const ParamSpec& param,
                                                    const BlockSpec& spec) {
  if (!is_embedding(spec, param.name) || !stored.quantized ||
      param.shape != std::vector{stored.quantized->out, stored.quantized->in})
    fail(ErrorKind::input, "block '", spec.name, "': '", param.name,
         "' is stored as codes, and is no table of embeddings of that size");
  return std::make_shared<const QuantizedLinear>(std::move(*stored.quantized));
}

}  // namespace

StoredBlock to_stored(const Block& block, DType float_dtype) {
  StoredBlock stored;
  stored.name = block.spec().name;
  for (const auto& [name, linear] : block.linears) {
    StoredLinear& out = stored.linears[name];
    if (linear.quantized != nullptr) out.quantized = *linear.quantized;
    if (!holds_codes(linear)) out.weight = to_data(linear.weight, float_dtype);
    out.bias = to_data(linear.bias, float_dtype);
    out.rotation = linear.rotation;
  }
  for (const auto& [name, norm] : block.norms)
    stored.norms[name] = {norm.kind, norm.eps,
                          to_data(norm.scale, block.spec().norm(name).one_plus ? DType::f32 : float_dtype),
                          to_data(norm.shift, float_dtype)};
  for (const auto& [name, param] : block.params)
    if (param.defined() && !block.embeddings.contains(name))
      stored.params[name] = to_data(param, float_dtype);
  for (const auto& [name, table] : block.embeddings) stored.embeddings[name].quantized = *table;
  stored.kv_scales = block.kv_scales;
  return stored;
}

Block from_stored(StoredBlock stored, const BlockSpec& spec, FloatTensors floats) {
  Block block(spec);
  for (const LinearSpec& linear_spec : spec.linears) {
    StoredLinear& in = stored_part(stored.linears, linear_spec.name, spec);
    Linear& linear = block.linears[linear_spec.name];
    if (in.weight) linear.weight = to_tensor(in.weight, held_as(in.weight, spec, linear_spec.name, floats));
    linear.bias = optional_tensor(in.bias);
    linear.rotation = in.rotation;
    if (in.quantized) linear.quantized = std::make_shared<const QuantizedLinear>(std::move(*in.quantized));
  }
  for (const NormSpec& norm_spec : spec.norms) {
    const StoredNorm& in = stored_part(stored.norms, norm_spec.name, spec);
    block.norms[norm_spec.name] = {in.kind, in.eps, optional_tensor(in.scale), optional_tensor(in.shift)};
  }
  for (const ParamSpec& param : spec.params) {
    at::Tensor& held = block.params[param.name];
    if (const auto codes = stored.embeddings.find(param.name); codes != stored.embeddings.end()) {
      block.embeddings[param.name] = embedding_of(codes->second, param, spec);
      continue;
    }
    if (param.source.optional && !stored.params.contains(param.name)) continue;
    const TensorData& data = stored_part(stored.params, param.name, spec);
    held = to_tensor(data, held_as(data, spec, param.name, floats));
  }
  block.kv_scales = stored.kv_scales;
  return block;
}

Block converted(Block block, at::ScalarType dtype) {
  const auto convert = [&](at::Tensor& tensor) {
    if (tensor.defined()) tensor = tensor.to(dtype).contiguous();
  };
  for (auto& [name, linear] : block.linears) {
    convert(linear.weight);
    convert(linear.bias);
  }
  for (auto& [name, norm] : block.norms) {
    convert(norm.scale);
    convert(norm.shift);
  }
  for (auto& [name, param] : block.params) convert(param);
  return block;
}

void round_to_stored(Block& block, DType stored, bool coded) {
  const auto round = [&](at::Tensor& tensor) {
    if (tensor.defined()) tensor = tensor.to(scalar_type(stored)).to(at::kFloat).contiguous();
  };
  for (auto& [name, linear] : block.linears) {
    if (coded && !block.spec().linear(name).stays_float)
      linear.weight = linear.weight.to(at::kFloat).contiguous();
    else
      round(linear.weight);
    round(linear.bias);
  }
  for (auto& [name, norm] : block.norms) {
    const bool one_plus = norm.scale.defined() && block.spec().norm(name).one_plus;
    if (one_plus) norm.scale = norm.scale - 1;  // what is stored
    round(norm.scale);
    if (one_plus) norm.scale = norm.scale + 1;
    round(norm.shift);
  }
  for (auto& [name, param] : block.params) {
    if (coded && is_embedding(block.spec(), name))
      param = param.to(at::kFloat).contiguous();
    else
      round(param);
  }
}

}  // namespace mquant
