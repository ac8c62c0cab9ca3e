#include "runtime/prepared_block.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include <algorithm>

#include "kernels/gemm_widened.h"
#include "mquant/error.h"
#include "nn/linear.h"
#include "runtime/row_runner.h"
#include "support/timer.h"

namespace mquant {
namespace {

std::int64_t bytes_of(const at::Tensor& tensor) {
  return tensor.defined() ? static_cast<std::int64_t>(tensor.nbytes()) : 0;
}

std::int64_t bytes_of(const QuantizedLinear& codes) {
  return std::ssize(codes.codes) +
         std::ssize(codes.weight_scale) * static_cast<std::int64_t>(sizeof(codes.weight_scale[0]));
}

/// A weight that stayed bfloat16, whose input is multiplied as it is (stored.h).
bool is_bfloat16(const Linear& linear) {
  return linear.weight.defined() && linear.weight.scalar_type() == at::kBFloat16 &&
         linear.quantized == nullptr && !linear.rotation;
}

/// A weight in fewer bits than float32, and float activations: its rows do not ask for their token class.
bool is_compact(const Linear& linear) {
  return is_bfloat16(linear) || (linear.quantized != nullptr && linear.quantized->scheme.weight_bits != 16 &&
                                 linear.quantized->scheme.activation_bits == 16);
}

constexpr std::int64_t kOutputsAThread = 256;

at::Tensor bfloat16_product(const Linear& linear, const at::Tensor& x) {
  const std::int64_t rows = x.size(0), width = x.size(1), outputs = linear.weight.size(0);
  at::Tensor y = at::empty({rows, outputs}, at::kFloat);
  const auto* weight = reinterpret_cast<const std::uint16_t*>(linear.weight.data_ptr<at::BFloat16>());
  at::parallel_for(0, outputs, kOutputsAThread, [&](std::int64_t begin, std::int64_t end) {
    gemm_bf16(x.data_ptr<float>(), rows, weight + begin * width, end - begin, width,
              y.data_ptr<float>() + begin, outputs);
  });
  if (linear.bias.defined()) y += linear.bias;
  return y;
}

}  // namespace

PreparedSteps::PreparedSteps(const Block& block, StepRange steps)
    : block_(&block), steps_(steps), linears_(std::make_unique<PreparedLinears>()) {
  std::set<std::string, std::less<>> by_codes;
  if (!block.run_float)
    for (const auto& [name, linear] : block.linears)
      if (runs_by_codes(linear)) by_codes.insert(name);
  ranges_ = row_wise_ranges(spec(), steps_, by_codes);
  for (const StepRange& range : ranges_) {
    for (std::size_t i = range.begin; i < range.end; ++i) {
      const Step& step = spec().steps[i];
      if (step.op != Op::linear || linears_->contains(step.name)) continue;
      in_context(cat("linear '", step.name, "'"), [&] {
        linears_->emplace(step.name,
                          PreparedLinear(step.name, block.linear(step.name), spec().linear(step.name).rows));
      });
    }
    programs_.push_back(compile_rows(block, *linears_, range));
  }
  for (std::size_t next = 0; next <= spec().steps.size(); ++next)
    unused_.push_back(unused_registers(spec(), next));
}

void PreparedSteps::run(Batch& batch, const RunMode& mode) const {
  std::vector<bool> part;
  for (const SampleState& sample : batch.samples()) part.push_back(takes_part(spec(), *sample.features));
  in_context(spec().name, [&] {
    std::size_t range = 0;
    for (std::size_t i = steps_.begin; i < steps_.end;) {
      if (range < ranges_.size() && ranges_[range].begin == i) {
        run_rows(programs_[range], spec(), batch, mode);
        i = ranges_[range++].end;
      } else {
        run_step_of(spec().steps[i++], batch, mode, part);
      }
      for (const std::string& name : unused_[i]) batch.drop(name);
    }
  });
}

void PreparedSteps::run_step_of(const Step& step, Batch& batch, const RunMode& mode,
                                const std::vector<bool>& takes_part) const {
  const Stopwatch watch;
  const bool linear = step.op == Op::linear;
  if (linear && !block_->run_float && is_compact(block_->linear(step.name)))
    return run_compact(step, batch, mode);
  const bool apart = mode.samples_apart && step.op != Op::attention;
  batch.each(
      step.in, step.out, takes_part, [&](SampleState& sample) { return run_step(*block_, sample, step); },
      apart ? Batch::Samples::in_parallel : Batch::Samples::in_turn);
  if (mode.clock == nullptr) return;
  const Stage stage = step.op == Op::attention ? Stage::attention : linear ? Stage::linears : Stage::rest;
  mode.clock->of(spec().tower)[static_cast<std::size_t>(stage)] += watch.seconds();
}

/// All rows of the batch at once, so that the weight is read once.
void PreparedSteps::run_compact(const Step& step, Batch& batch, const RunMode& mode) const {
  const Stopwatch watch;
  const Linear& linear = block_->linear(step.name);
  const BatchRegister& in = batch.get(step.in[0]);
  const at::Tensor y =
      is_bfloat16(linear) ? bfloat16_product(linear, in.rows) : run_linear(linear, in.rows, {}, false);
  batch.put(step.out, {y, in.begin, in.present});
  if (mode.clock != nullptr)
    mode.clock->of(spec().tower)[static_cast<std::size_t>(Stage::linears)] += watch.seconds();
}

PreparedBlock::PreparedBlock(Block block)
    : block_(std::make_unique<Block>(std::move(block))), steps_(*block_, {0, block_->spec().steps.size()}) {
  for (const auto& [name, prepared] : steps_.linears()) {
    Linear& linear = block_->linear(name);
    linear.quantized.reset();
    linear.weight = at::Tensor();
  }
}

std::int64_t PreparedBlock::bytes() const {
  std::int64_t bytes = 0;
  for (const auto& [name, linear] : steps_.linears()) bytes += linear.bytes();
  for (const auto& [name, linear] : block_->linears) {
    bytes += bytes_of(linear.weight) + (steps_.linears().contains(name) ? 0 : bytes_of(linear.bias));
    if (linear.quantized != nullptr) bytes += bytes_of(*linear.quantized);
  }
  for (const auto& [name, norm] : block_->norms) bytes += bytes_of(norm.scale) + bytes_of(norm.shift);
  for (const auto& [name, param] : block_->params) bytes += bytes_of(param);
  for (const auto& [name, table] : block_->embeddings) bytes += bytes_of(*table);
  return bytes;
}

std::int64_t PreparedBlock::values() const {
  std::int64_t values = 0;
  for (const LinearSpec& linear : spec().linears)
    values += linear.out * linear.in + (linear.bias ? linear.out : 0);
  for (const NormSpec& norm : spec().norms)
    values += norm.width * ((norm.weight ? 1 : 0) + (norm.bias ? 1 : 0));
  for (const auto& [name, param] : block_->params) values += param.defined() ? param.numel() : 0;
  for (const auto& [name, table] : block_->embeddings) values += table->out * table->in;
  return values;
}

}  // namespace mquant
