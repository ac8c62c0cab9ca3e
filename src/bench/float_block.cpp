#include "bench/float_block.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include "kernels/hadamard.h"
#include "nn/stored.h"

namespace mquant {
namespace {

constexpr std::int64_t kRowsAThread = 16;

/// One row of codes as floats, split channels in their places.
void multiply_out(const QuantizedLinear& q, std::int64_t o, float* row) {
  const std::int8_t* codes = q.codes.data() + o * q.in;
  const float scale = q.weight_scale[static_cast<std::size_t>(o)];
  for (std::int64_t i = 0; i < q.in; ++i) row[i] = static_cast<float>(codes[i]) * scale;
  const SplitColumns& split = q.split;
  for (std::size_t k = 0; k < split.channels.size(); ++k) {
    const std::size_t at = k * static_cast<std::size_t>(q.out) + static_cast<std::size_t>(o);
    row[split.channels[k]] =
        split.quantized ? static_cast<float>(split.codes[at]) * split.weight_scale[k] : split.values[at];
  }
}

at::Tensor multiplied_out(const QuantizedLinear& q) {
  at::Tensor weight = at::empty({q.out, q.in}, at::kFloat);
  auto* values = weight.data_ptr<float>();
  at::parallel_for(0, q.out, kRowsAThread, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t o = begin; o < end; ++o) multiply_out(q, o, values + o * q.in);
  });
  return weight;
}

/// W of y = W x, from W' of y = W' (x R):  W = W' R^T, row by row.
at::Tensor float_weight(const Linear& linear) {
  const QuantizedLinear* q = linear.quantized.get();
  const bool of_codes = q != nullptr && q->scheme.weight_bits != 16;
  if (!of_codes && !linear.rotation) return linear.weight;
  at::Tensor weight = of_codes ? multiplied_out(*q) : linear.weight.clone();
  if (!linear.rotation) return weight;
  const std::int64_t in = weight.size(1);
  auto* values = weight.data_ptr<float>();
  const HadamardPlan plan = plan_hadamard(linear.rotation.size, linear.rotation.block);
  at::parallel_for(0, weight.size(0), kRowsAThread, [&](std::int64_t begin, std::int64_t end) {
    hadamard_rows(values + begin * in, end - begin, plan, linear.rotation.signs, Direction::inverse);
  });
  return weight;
}

}  // namespace

Block float_block(const StoredBlock& stored, const BlockSpec& spec) {
  Block block = from_stored(stored, spec);
  for (auto& [name, linear] : block.linears) {
    linear.weight = float_weight(linear);
    linear.quantized = nullptr;
    linear.rotation = {};
  }
  for (const auto& [name, table] : block.embeddings) block.params[name] = multiplied_out(*table);
  block.embeddings.clear();
  return block;
}

Block narrowed(const Block& block, at::ScalarType dtype) {
  Block copy = converted(block, dtype);
  const std::string& frequencies = block.spec().attention.rope.frequencies;
  if (const auto it = block.params.find(frequencies); it != block.params.end())
    copy.params[it->first] = it->second;
  return copy;
}

std::int64_t bytes_of(const Block& block) {
  std::int64_t bytes = 0;
  const auto add = [&](const at::Tensor& tensor) {
    if (tensor.defined()) bytes += static_cast<std::int64_t>(tensor.nbytes());
  };
  for (const auto& [name, linear] : block.linears) {
    add(linear.weight);
    add(linear.bias);
  }
  for (const auto& [name, norm] : block.norms) {
    add(norm.scale);
    add(norm.shift);
  }
  for (const auto& [name, param] : block.params) add(param);
  return bytes;
}

}  // namespace mquant
