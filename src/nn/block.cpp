// The block runner: executes the steps of a description over the registers of one sample.
#include "mquant/block.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <algorithm>
#include <set>

#include "mquant/error.h"
#include "nn/attention.h"
#include "nn/embedding.h"
#include "nn/linear.h"
#include "nn/patch_rows.h"
#include "nn/row_steps.h"
#include "nn/tensors.h"
#include "nn/token_order.h"
#include "nn/token_rows.h"

namespace mquant {
namespace {

template <class Map>
auto& found(Map& map, std::string_view name, const BlockSpec& spec) {
  const auto it = map.find(name);
  if (it == map.end()) fail(ErrorKind::internal, "block '", spec.name, "' holds no '", name, "'");
  return it->second;
}

class Runner {
 public:
  Runner(const Block& block, SampleState& sample) : block_(block), spec_(block.spec()), sample_(sample) {}

  void run(std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      const Step& step = spec_.steps[i];
      at::Tensor result = value(step);
      if (result.defined()) sample_.registers[step.out] = result;
      for (const std::string& name : unused_registers(spec_, i + 1)) sample_.registers.erase(name);
    }
  }

  at::Tensor value(const Step& step) {
    switch (step.op) {
      case Op::linear: {
        const at::Tensor x = in(step, 0);
        return run_linear(block_.linear(step.name), x,
                          row_classes(spec_, spec_.linear(step.name).rows, sample_, x.size(0)),
                          block_.run_float);
      }
      case Op::norm: return normalized(block_.norm(step.name), spec_.norm(step.name).width, in(step, 0));
      case Op::activation: return activated(step.activation, in(step, 0));
      case Op::multiply: return in(step, 0) * in(step, 1);
      case Op::add: return in(step, 0) + in(step, 1);
      case Op::scale: return in(step, 0) * step.factor;
      case Op::attention: return attend(block_, sample_, in(step, 0), in(step, 1), in(step, 2));
      case Op::embed: return embedded(step.name);
      case Op::take: return take_rows(sample_, in(step, 0), step.rows);
      case Op::join: return join_rows(sample_, in(step, 0), in(step, 1));
      case Op::place_visual:
      case Op::add_visual:
        if (!sample_.registers.contains(step.in[1])) return in(step, 0);  // no picture, or a decoded token
        return step.op == Op::add_visual ? add_visual(sample_, in(step, 0), in(step, 1))
                                         : place_visual(sample_, in(step, 0), in(step, 1));
      default: return of_patches(step);
    }
  }

 private:
  at::Tensor in(const Step& step, std::size_t i) const { return found(sample_.registers, step.in[i], spec_); }

  at::Tensor embedded(const std::string& name) const {
    const std::vector<std::int64_t>& ids = sample_.features->input_ids;
    const auto codes = block_.embeddings.find(name);
    if (codes != block_.embeddings.end() && !block_.run_float) return embedding_rows(*codes->second, ids);
    const at::Tensor rows = block_.param(name).index_select(0, index_tensor(ids));
    const bool narrow = rows.scalar_type() == at::kBFloat16 || rows.scalar_type() == at::kHalf;
    return narrow ? rows.to(at::kFloat) : rows;
  }

  at::Tensor of_patches(const Step& step) {
    const auto param = [&] { return block_.param(step.name); };
    switch (step.op) {
      case Op::merge_rows: return in(step, 0).reshape({-1, step.count * in(step, 0).size(1)});
      case Op::merge_grid: return merge_grid(sample_, in(step, 0), step.count);
      case Op::average_pool: return average_pool(sample_, in(step, 0), step.count);
      case Op::prepend: return prepend(sample_, in(step, 0), param());
      case Op::append: return append(sample_, in(step, 0), param());
      case Op::drop_first: return drop_first(sample_, in(step, 0), step.count);
      case Op::table: return looked_up(sample_, param(), step.lookup);
      case Op::add_table: return add_looked_up(sample_, in(step, 0), param(), step.lookup, step.count);
      case Op::repeat: return repeat(sample_, param());
      case Op::to_windows: return to_windows(sample_, in(step, 0), step.count);
      case Op::from_windows: return from_windows(sample_, in(step, 0));
      default: return {};
    }
  }

  const Block& block_;
  const BlockSpec& spec_;
  SampleState& sample_;
};

}  // namespace

Linear& Block::linear(std::string_view name) { return found(linears, name, *spec_); }
const Linear& Block::linear(std::string_view name) const { return found(linears, name, *spec_); }
NormWeights& Block::norm(std::string_view name) { return found(norms, name, *spec_); }
const NormWeights& Block::norm(std::string_view name) const { return found(norms, name, *spec_); }
at::Tensor& Block::param(std::string_view name) { return found(params, name, *spec_); }
const at::Tensor& Block::param(std::string_view name) const { return found(params, name, *spec_); }

void Block::add_bias(std::string_view name, const at::Tensor& delta) {
  at::Tensor& bias = linear(name).bias;
  bias = bias.defined() ? bias + delta : delta.clone();
}

void run_steps(const Block& block, SampleState& sample, std::size_t begin, std::size_t end) {
  in_context(block.spec().name, [&] { Runner(block, sample).run(begin, end); });
}

at::Tensor run_step(const Block& block, SampleState& sample, const Step& step) {
  return Runner(block, sample).value(step);
}

std::vector<std::string> unused_registers(const BlockSpec& spec, std::size_t next) {
  std::set<std::string> mentioned;
  for (const Step& step : spec.steps) {
    mentioned.insert(step.in.begin(), step.in.end());
    mentioned.insert(step.out);
  }
  std::vector<std::string> unused;
  for (const std::string& name : mentioned) {
    bool wanted = std::ranges::find(spec.keeps, name) != spec.keeps.end();
    for (std::size_t i = next; i < spec.steps.size(); ++i) {
      const bool reads = std::ranges::find(spec.steps[i].in, name) != spec.steps[i].in.end();
      if (reads || spec.steps[i].out == name) {
        wanted = reads;
        break;
      }
    }
    if (!wanted) unused.push_back(name);
  }
  return unused;
}

void run_block(const Block& block, SampleState& sample) {
  run_steps(block, sample, 0, block.spec().steps.size());
}

bool takes_part(const BlockSpec& spec, const Features& features) {
  return spec.on_tokens || !features.patches.empty();
}

SampleState start(const Features& features, at::ScalarType dtype) {
  SampleState sample;
  sample.features = &features;
  if (features.patches.empty()) return sample;
  at::Tensor pixels =
      at::empty({static_cast<std::int64_t>(features.patches.size()), features.pixel_columns}, at::kFloat);
  require(pixels.numel() == static_cast<std::int64_t>(features.pixels.size()), "pixels of ",
          features.patches.size(), " patches");
  std::copy(features.pixels.begin(), features.pixels.end(), pixels.data_ptr<float>());
  sample.registers["pixels"] = pixels.to(dtype);
  return sample;
}

void order_tokens(SampleState& sample) {
  sample.order = class_order(sample.features->token_class);
  at::Tensor& x = sample.registers["x"];
  x = x.index_select(0, index_tensor(sample.order));
}

void restore_order(SampleState& sample) {
  if (sample.order.empty()) return;
  at::Tensor& x = sample.registers["x"];
  x = at::empty_like(x).index_copy_(0, index_tensor(sample.order), x);
  sample.order.clear();
}

std::vector<TokenClass> row_classes(const BlockSpec& spec, RowSet set, const SampleState& sample,
                                    std::int64_t rows) {
  const auto n = static_cast<std::size_t>(rows);
  if (!spec.on_tokens || set == RowSet::visual) return std::vector<TokenClass>(n, TokenClass::visual);
  const std::vector<TokenClass>& classes = sample.features->token_class;
  std::vector<TokenClass> out;
  // The head may be run on the last rows only; they are the last of the original order then.
  const std::size_t first = set == RowSet::all && sample.order.empty() ? classes.size() - n : 0;
  for (std::size_t i = first; i < classes.size(); ++i) {
    const TokenClass c = classes[sample.order.empty() ? i : static_cast<std::size_t>(sample.order[i])];
    if (set == RowSet::all || c != TokenClass::visual) out.push_back(c);
  }
  require(out.size() == n, n, " rows, and classes of ", out.size());
  return out;
}

}  // namespace mquant
