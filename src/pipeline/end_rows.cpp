#include "pipeline/end_rows.h"

#include <ATen/ops/square.h>
#include <ATen/ops/sum.h>

#include <algorithm>
#include <cmath>

#include "model/ends.h"
#include "mquant/error.h"
#include "nn/stored.h"
#include "nn/tensors.h"
#include "quant/error.h"

namespace mquant {
namespace {

constexpr std::int64_t kRunBytes = std::int64_t{64} << 20;
constexpr const char* kFigure = "weight_sqnr_db";  // the one figure of what is rounded without inputs

template <class T>
void append(std::vector<T>& to, const std::vector<T>& from, std::int64_t rows_of_all, std::int64_t rows) {
  if (to.empty())
    to.reserve(from.size() / static_cast<std::size_t>(rows) * static_cast<std::size_t>(rows_of_all));
  to.insert(to.end(), from.begin(), from.end());
}

void append(TensorData& to, const TensorData& from, std::int64_t rows_of_all) {
  if (!from) return;
  if (!to) to = {from.dtype, from.shape, {}}, to.shape[0] = 0;
  append(to.bytes, from.bytes, rows_of_all, from.shape[0]);
  to.shape[0] += from.shape[0];
}

void append(std::optional<QuantizedLinear>& to, const std::optional<QuantizedLinear>& from,
            std::int64_t rows_of_all) {
  if (!from) return;
  if (!to) {
    to.emplace();
    to->in = from->in;
    to->scheme = from->scheme;
  }
  append(to->codes, from->codes, rows_of_all, from->out);
  append(to->weight_scale, from->weight_scale, rows_of_all, from->out);
  to->out += from->out;
}

void append(StoredLinear& to, const StoredLinear& from, std::int64_t rows_of_all) {
  append(to.quantized, from.quantized, rows_of_all);
  append(to.weight, from.weight, rows_of_all);
  append(to.bias, from.bias, rows_of_all);
}

const at::Tensor& weight_of(const Block& block, const std::string& name) {
  return block.params.contains(name) ? block.param(name) : block.linear(name).weight;
}

}  // namespace

Block load_to_run(const Checkpoint& checkpoint, const ModelSpec& model, const BlockSpec& spec) {
  const bool table = rows_of_end(spec) > 0 && !spec.params.empty();
  if (!table) return load_block(checkpoint, model, spec, at::kFloat);
  const DType dtype = types_in(checkpoint, model, DType::f32)(spec.params.front().source);
  return load_block(checkpoint, model, spec, scalar_type(dtype));
}

std::vector<RowRun> runs_of_end(const BlockSpec& end, std::int64_t rows) {
  const std::int64_t width = end.params.empty() ? end.linears.front().in : end.params.front().shape[1];
  const std::int64_t most =
      std::max<std::int64_t>(1, kRunBytes / static_cast<std::int64_t>(sizeof(double)) / width);
  std::vector<RowRun> runs;
  for (std::int64_t begin = 0; begin < rows; begin += most)
    runs.push_back({begin, std::min(most, rows - begin)});
  return runs;
}

void EndRows::add(const Block& block, StoredBlock stored, const std::map<std::string, Figures>& figures) {
  whole_.name = spec_.name;
  for (const auto& [name, linear] : stored.linears) append(whole_.linears[name], linear, rows_);
  for (const auto& [name, table] : stored.embeddings) append(whole_.embeddings[name], table, rows_);
  for (const auto& [name, param] : stored.params) append(whole_.params[name], param, rows_);
  if (whole_.norms.empty()) whole_.norms = std::move(stored.norms);
  for (const auto& [name, of_run] : figures) {
    const double db = of_run.at(kFigure),
                 signal = weight_of(block, name).square().sum(at::kDouble).item<double>();
    require(of_run.size() == 1, "figures of '", name, "' that runs of rows cannot add up");
    Squares& sum = squares_[name];
    sum.signal += signal;
    if (std::isfinite(db)) sum.noise += signal / std::pow(10.0, db / 10);
  }
}

StoredBlock EndRows::take() {
  for (const auto& [name, sum] : squares_) whole_.figures[name][kFigure] = sqnr_db(sum.signal, sum.noise);
  return std::move(whole_);
}

}  // namespace mquant
