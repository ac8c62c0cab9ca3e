// Blocks to and from the form in which calibrations and artifacts hold them.
#include "nn/stored.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "io/finite.h"
#include "model/ends.h"
#include "model/stored_tensors.h"
#include "mquant/error.h"
#include "nn/tensors.h"
#include "support/strings.h"

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

/// Where a tensor of a block comes from, and the type in which it is stored.
struct Place {
  std::string tensor;  // by its name in the checkpoint, or what it is in the block
  DType dtype = DType::f32;
};

/// The places of a block's tensors.
class Types {
 public:
  Types(const BlockSpec& spec, const StoredTypes& types) : spec_(spec), types_(types) {}

  Place weight(const std::string& linear) const {
    return place(spec_.linear(linear).weight, {}, linear, "weight");
  }
  Place bias(const std::string& linear) const {
    const LinearSpec& spec = spec_.linear(linear);
    return place(spec.bias, spec.weight, linear, "bias");
  }
  Place scale(const std::string& norm) const { return place(spec_.norm(norm).weight, {}, norm, "scale"); }
  Place shift(const std::string& norm) const {
    const NormSpec& spec = spec_.norm(norm);
    return place(spec.bias, spec.weight, norm, "shift");
  }
  Place param(const std::string& name) const {
    const auto it = std::ranges::find(spec_.params, name, &ParamSpec::name);
    require(it != spec_.params.end(), "block '", spec_.name, "' has no parameter '", name, "'");
    return place(it->source, {}, name, "");
  }

 private:
  Place place(const Source& source, const Source& beside, const std::string& part, const char* what) const {
    std::string name = source ? source.name : cat(spec_.name, ".", part, *what == 0 ? "" : ".", what);
    return {std::move(name), types_(source ? source : beside)};
  }

  const BlockSpec& spec_;
  const StoredTypes& types_;
};

/// `tensor` in the type in which it is stored.
at::Tensor rounded(const at::Tensor& tensor, const Place& place) {
  at::Tensor stored = tensor.to(scalar_type(place.dtype)).contiguous();
  const std::vector<std::int64_t> shape = stored.sizes().vec();
  const std::span bytes(static_cast<const std::byte*>(stored.const_data_ptr()), stored.nbytes());
  const std::optional<std::int64_t> at = first_non_finite({place.dtype, shape, bytes});
  if (!at) return stored;
  const double value = tensor.reshape({-1}).select(0, *at).item<double>();
  fail(ErrorKind::input, "tensor '", place.tensor, "': after the passes of the recipe, the value at ",
       shape_text(place_of(*at, shape)), " is ", value,
       std::isfinite(value) ? cat(", which ", dtype_name(place.dtype),
                                  ", its type in the checkpoint, cannot hold; convert the ",
                                  "checkpoint to bfloat16 or float32")
                            : std::string("; expected finite numbers"));
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

StoredTypes types_in(const Checkpoint& checkpoint, const ModelSpec& model, DType otherwise) {
  return [&checkpoint, &model, otherwise](const Source& source) {
    const auto has = [&](const std::string& name) { return checkpoint.has(name); };
    const std::string name = name_in(model, source.name, source.otherwise, has);
    if (!has(name)) return otherwise;
    const DType dtype = checkpoint.get(name).dtype;
    return dtype == DType::f64 ? DType::f32 : dtype;
  };
}

StoredBlock to_stored(const Block& block, const StoredTypes& types) {
  const Types of(block.spec(), types);
  const auto data = [](const at::Tensor& tensor, const Place& place) {
    return tensor.defined() ? to_data(rounded(tensor, place), place.dtype) : TensorData{};
  };
  StoredBlock stored;
  stored.name = block.spec().name;
  for (const auto& [name, linear] : block.linears) {
    StoredLinear& out = stored.linears[name];
    if (linear.quantized != nullptr) out.quantized = *linear.quantized;
    if (!holds_codes(linear)) out.weight = data(linear.weight, of.weight(name));
    out.bias = data(linear.bias, of.bias(name));
    out.rotation = linear.rotation;
  }
  for (const auto& [name, norm] : block.norms) {
    Place scale = of.scale(name);
    if (block.spec().norm(name).one_plus) scale.dtype = DType::f32;
    stored.norms[name] = {norm.kind, norm.eps, data(norm.scale, scale), data(norm.shift, of.shift(name))};
  }
  for (const auto& [name, param] : block.params)
    if (param.defined() && !block.embeddings.contains(name))
      stored.params[name] = data(param, of.param(name));
  for (const auto& [name, table] : block.embeddings) stored.embeddings[name].quantized = *table;
  stored.kv_scales = block.kv_scales;
  return stored;
}

Block from_stored(StoredBlock stored, const BlockSpec& spec, FloatTensors floats) {
  Block block(spec);
  for (const LinearSpec& linear_spec : spec.linears) {
    StoredLinear& in = stored_part(stored.linears, linear_spec.name, spec);
    Linear& linear = block.linears[linear_spec.name];
    // Codes of the input and its online rotation are float32, and so is the weight that multiplies them.
    const bool takes_input_as_it_is = !in.quantized && !in.rotation;
    if (in.weight)
      linear.weight = to_tensor(in.weight, held_as(in.weight, spec, linear_spec.name,
                                                   takes_input_as_it_is ? floats : FloatTensors::widened));
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

void round_to_stored(Block& block, const StoredTypes& types, bool coded) {
  const Types of(block.spec(), types);
  const auto round = [](at::Tensor& tensor, const Place& place) {
    if (tensor.defined()) tensor = rounded(tensor, place).to(at::kFloat);
  };
  for (auto& [name, linear] : block.linears) {
    Place weight = of.weight(name);
    if (coded && !block.spec().linear(name).stays_float) weight.dtype = DType::f32;
    round(linear.weight, weight);
    round(linear.bias, of.bias(name));
  }
  for (auto& [name, norm] : block.norms) {
    const bool one_plus = norm.scale.defined() && block.spec().norm(name).one_plus;
    if (one_plus) norm.scale = norm.scale - 1;  // what is stored
    round(norm.scale, of.scale(name));
    if (one_plus) norm.scale = norm.scale + 1;
    round(norm.shift, of.shift(name));
  }
  for (auto& [name, param] : block.params) {
    Place place = of.param(name);
    if (coded && is_embedding(block.spec(), name)) place.dtype = DType::f32;
    round(param, place);
  }
}

}  // namespace mquant
