#include "tests/support/outlier_model.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "io/pytorch_bin.h"
#include "io/safetensors.h"
#include "mquant/checkpoint.h"
#include "mquant/config.h"
#include "mquant/error.h"
#include "mquant/family.h"
#include "mquant/tensor.h"
#include "nn/tensors.h"
#include "support/rng.h"

namespace mquant::test {
namespace fs = std::filesystem;
namespace {

/// Channels of the stream: the first id, any other id, what the head says of both, and where the massive value goes.
enum Channel : std::int64_t {
  kFirst = 1,
  kOther = 2,
  kFirstShare = 3,
  kOtherShare = 4,
  kMassive = 5,
  kMassiveId = 6
};
constexpr double kSmallest = 0.05, kLargest = 60;

class Weights {
 public:
  Weights(const fs::path& directory, const ModelSpec& model)
      : model_(model), checkpoint_(Checkpoint::open(directory, open_pytorch_bin)) {
    for (const std::string& name : checkpoint_.names())
      tensors_[name] = to_tensor(checkpoint_.get(name), at::kFloat);
  }

  at::Tensor& tensor(const std::string& name) {
    return tensors_.at(resolve(name, model_, [&](const std::string& n) { return tensors_.contains(n); }));
  }
  bool has(const std::string& name) const {
    return tensors_.contains(
        resolve(name, model_, [&](const std::string& n) { return tensors_.contains(n); }));
  }
  /// Row of the stored tensor that is row `row` of this part.
  static std::int64_t stored_row(const Source& source, const BlockSpec& block, const at::Tensor& whole,
                                 std::int64_t row) {
    return fused_rows(source, block.attention, whole.size(0))[static_cast<std::size_t>(row)];
  }
  void zero_row(const LinearSpec& linear, const BlockSpec& block, std::int64_t row) {
    at::Tensor& weight = tensor(linear.weight.name);
    weight[stored_row(linear.weight, block, weight, row)].zero_();
    if (!linear.bias) return;
    at::Tensor& bias = tensor(linear.bias.name);
    bias[stored_row(linear.bias, block, bias, row)].zero_();
  }
  void set(const LinearSpec& linear, const BlockSpec& block, std::int64_t row, std::int64_t column,
           double value) {
    at::Tensor& weight = tensor(linear.weight.name);
    weight[stored_row(linear.weight, block, weight, row)][column].fill_(value);
  }

  void write(const fs::path& file) const {
    std::map<std::string, TensorData> data;
    std::map<std::string, TensorView> views;
    for (const auto& [name, tensor] : tensors_) {
      data[name] = to_data(tensor, DType::f32);
      views[name] = {data[name].dtype, tensor.sizes().vec(), data[name].bytes};
    }
    write_safetensors(file, views);
  }

 private:
  const ModelSpec& model_;
  Checkpoint checkpoint_;
  std::map<std::string, at::Tensor> tensors_;
};

/// The linear of that role which text tokens take.
const LinearSpec& text_linear(const BlockSpec& block, const std::string& role) {
  for (const LinearSpec& linear : block.linears)
    if (linear.name == role || linear.name == "text_" + role) return linear;
  fail(ErrorKind::internal, block.name, " has no linear '", role, "'");
}

const BlockSpec& named_block(const ModelSpec& model, const std::string& name) {
  for (const BlockSpec& block : model.blocks)
    if (block.name == name) return block;
  fail(ErrorKind::internal, "no block ", name);
}

void mark_ids(Weights& weights, const ModelSpec& model, std::int64_t first_id) {
  at::Tensor& table = weights.tensor(named_block(model, "embed").params.at(0).source.name);
  const double mark = 8 * table.square().mean().sqrt().item<double>();
  for (const std::int64_t channel : {kFirst, kFirstShare, kOtherShare, kMassive})
    table.select(1, channel).zero_();
  table.select(1, kOther).fill_(mark);
  table[first_id][kOther].zero_();
  table[first_id][kFirst].fill_(mark);
}

void make_first_token_massive(Weights& weights, const ModelSpec& model, std::int64_t first_id) {
  mark_ids(weights, model, first_id);
  const BlockSpec& layer = named_block(model, "decoder.0");
  const LinearSpec &q = text_linear(layer, "q"), &v = text_linear(layer, "v"), &o = text_linear(layer, "o"),
                   &gate = text_linear(layer, "gate"), &up = text_linear(layer, "up"),
                   &down = text_linear(layer, "down");
  for (std::int64_t row = 0; row < layer.attention.head_dim; ++row) weights.zero_row(q, layer, row);
  const double typical = weights.tensor(named_block(model, "embed").params.at(0).source.name)
                             .square()
                             .mean()
                             .sqrt()
                             .item<double>();
  for (const auto& [row, id, share] :
       {std::tuple{0, kFirst, kFirstShare}, std::tuple{1, kOther, kOtherShare}}) {
    weights.zero_row(v, layer, row);
    weights.set(v, layer, row, id, 1);
    weights.zero_row(o, layer, share);
    weights.set(o, layer, share, row, 4 * typical);
  }
  for (const LinearSpec* linear : {&gate, &up}) weights.zero_row(*linear, layer, 0);
  weights.set(gate, layer, 0, kFirstShare, 1.5);
  weights.set(gate, layer, 0, kOtherShare, -3);
  weights.set(up, layer, 0, kFirstShare, 20);
  at::Tensor& into = weights.tensor(down.weight.name);
  into.select(1, 0).zero_();
  weights.set(down, layer, kMassive, 0, 0.5);
}

void make_id_massive(Weights& weights, const ModelSpec& model, std::int64_t id) {
  at::Tensor& table = weights.tensor(named_block(model, "embed").params.at(0).source.name);
  const double mark = 8 * table.square().mean().sqrt().item<double>();
  table.select(1, kMassiveId).zero_();
  table[id][kMassiveId].fill_(mark);
  const BlockSpec& layer = named_block(model, "decoder.0");
  for (const auto& [role, weight] : {std::pair{"gate", 1.5}, std::pair{"up", 100.0}}) {
    const LinearSpec& linear = text_linear(layer, role);
    weights.zero_row(linear, layer, 1);
    weights.set(linear, layer, 1, kMassiveId, weight);
  }
  weights.tensor(text_linear(layer, "down").weight.name).select(1, 1).zero_();
}

/// Do linears read what it makes: at once, or in a post-norm layer through the stream?
bool scales_inputs(const BlockSpec& block, const NormSpec& norm) {
  const auto has = [&](const char* name) {
    return std::ranges::any_of(block.norms, [&](const NormSpec& other) { return other.name == name; });
  };
  if (has("norm1")) return norm.name == "norm1" || norm.name == "norm2";
  return norm.name == "post1" || norm.name == "post2";
}

void widen_norms(Weights& weights, const ModelSpec& model) {
  std::set<std::string> scaled;
  for (const BlockSpec& block : model.blocks)
    for (const NormSpec& norm : block.norms) {
      if (!scales_inputs(block, norm) || !norm.weight) continue;
      at::Tensor& scale = weights.tensor(norm.weight.name);
      Rng rng(3, norm.weight.name);
      for (std::int64_t i = 0; i < norm.width; ++i) {
        const bool kept = block.tower == Tower::decoder && i >= kFirst && i <= kMassive;
        const double factor = kept ? 1 : kSmallest * std::pow(kLargest / kSmallest, rng.uniform());
        scale[i].fill_(norm.one_plus ? factor - 1 : factor);
      }
      const at::Tensor effective = norm.one_plus ? scale + 1 : scale;
      const double rms = effective.square().mean().sqrt().item<double>();
      if (norm.space == Space::none) scale.div_(rms);  // post-norm: the stream keeps its size
      for (const LinearSpec& linear : block.linears)   // so do outputs
        if (linear.norm == norm.name && scaled.insert(linear.weight.name).second)
          weights.tensor(linear.weight.name).div_(rms);
    }
}

}  // namespace

void write_outlier_model(const fs::path& golden, const fs::path& output, const Outliers& outliers) {
  fs::create_directories(output);
  for (const fs::directory_entry& entry : fs::directory_iterator(golden / "model")) {
    const std::string name = entry.path().filename().string();
    if (name.find(".safetensors") == std::string::npos && name.find(".bin") == std::string::npos)
      fs::copy_file(entry.path(), output / name);
  }
  const Config config = Config::open(golden / "model" / "config.json");
  const Family& family = find_family(config);
  const ModelSpec model = family.describe(config);
  Weights weights(golden / "model", model);
  if (outliers.wide_norms) widen_norms(weights, model);
  if (outliers.massive_first_token) {
    const Features features = family.make_processor(golden / "model", config, {})
                                  ->features(read_samples(golden / "cases.jsonl", 1)[0], WithAnswer::no);
    make_first_token_massive(weights, model, features.input_ids.at(0));
  }
  if (outliers.massive_id >= 0) make_id_massive(weights, model, outliers.massive_id);
  weights.write(output / "model.safetensors");
}

}  // namespace mquant::test
