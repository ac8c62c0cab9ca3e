// The block runner: executes the steps of a description over the registers of one sample.
#include "mquant/block.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/silu.h>

#include <algorithm>

#include "mquant/error.h"
#include "nn/attention.h"
#include "nn/linear.h"
#include "nn/tensors.h"
#include "nn/token_order.h"

namespace mquant {
namespace {

template <class Map>
auto& found(Map& map, std::string_view name, const BlockSpec& spec) {
  const auto it = map.find(name);
  if (it == map.end()) fail(ErrorKind::internal, "block '", spec.name, "' holds no '", name, "'");
  return it->second;
}

at::Tensor normalized(const NormWeights& norm, const at::Tensor& x) {
  if (norm.kind == NormKind::layer) return at::layer_norm(x, {x.size(-1)}, norm.scale, norm.shift, norm.eps);
  at::Tensor y = x * x.square().mean(-1, true).add(norm.eps).rsqrt();
  if (norm.scale.defined()) y = norm.scale * y;
  if (norm.shift.defined()) y = y + norm.shift;
  return y;
}

at::Tensor activated(Activation activation, const at::Tensor& x) {
  switch (activation) {
    case Activation::silu: return at::silu(x);
    case Activation::gelu: return at::gelu(x);
    case Activation::gelu_tanh: return at::gelu(x, "tanh");
    case Activation::quick_gelu: return x * (x * 1.702).sigmoid();
  }
  return x;
}

/// Indices of token rows, in their current order, that a vision embedding overwrites.
std::vector<std::int64_t> visual_rows(const Features& features) {
  std::vector<std::int64_t> rows;
  for (std::size_t i = 0; i < features.token_class.size(); ++i)
    if (features.picture[i] >= 0) rows.push_back(static_cast<std::int64_t>(i));
  return rows;
}

at::Tensor placed(const SampleState& sample, const at::Tensor& x, const at::Tensor& visual) {
  const std::vector<std::int64_t> rows = visual_rows(*sample.features);
  require(visual.size(0) == static_cast<std::int64_t>(rows.size()), "the vision tower made ", visual.size(0),
          " embeddings for ", rows.size(), " visual tokens");
  return x.index_copy(0, index_tensor(rows), visual);
}

/// x [rows, width] as [pictures, rows of one, width].
/// Throws Error{unsupported} unless all pictures (tiles) have as many rows, which learned positions ask for anyway.
at::Tensor by_picture(const SampleState& sample, const at::Tensor& x) {
  const auto pictures = static_cast<std::int64_t>(sample.features->grids.size());
  for (const Grid& grid : sample.features->grids)
    if (grid.rows() != sample.features->grids[0].rows())
      fail(ErrorKind::unsupported, "pictures of ", grid.rows(), " and ", sample.features->grids[0].rows(),
           " patches in one sample; a tower with learned positions takes one size");
  return x.view({pictures, -1, x.size(1)});
}

at::Tensor prepended(const SampleState& sample, const at::Tensor& x, const at::Tensor& row) {
  const at::Tensor pictures = by_picture(sample, x);
  const at::Tensor first = row.view({1, 1, -1}).expand({pictures.size(0), 1, x.size(1)});
  return at::cat({first, pictures}, 1).reshape({-1, x.size(1)});
}

class Runner {
 public:
  Runner(const Block& block, SampleState& sample) : block_(block), spec_(block.spec()), sample_(sample) {}

  void run(std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      const Step& step = spec_.steps[i];
      at::Tensor result = value(step);
      if (result.defined()) sample_.registers[step.out] = result;
      drop_unused(i + 1);
    }
  }

 private:
  at::Tensor in(const Step& step, std::size_t i) const { return found(sample_.registers, step.in[i], spec_); }

  at::Tensor value(const Step& step) {
    switch (step.op) {
      case Op::linear: {
        const at::Tensor x = in(step, 0);
        return run_linear(block_.linear(step.name), x, row_classes(spec_, sample_, x.size(0)),
                          block_.run_float);
      }
      case Op::norm: return normalized(block_.norm(step.name), in(step, 0));
      case Op::activation: return activated(step.activation, in(step, 0));
      case Op::multiply: return in(step, 0) * in(step, 1);
      case Op::add: return in(step, 0) + in(step, 1);
      case Op::attention: return attend(spec_, sample_, in(step, 0), in(step, 1), in(step, 2));
      case Op::merge_rows: return in(step, 0).reshape({-1, step.count * in(step, 0).size(1)});
      case Op::prepend: return prepended(sample_, in(step, 0), block_.param(step.name));
      case Op::add_table:
        return (by_picture(sample_, in(step, 0)) + block_.param(step.name)).reshape(in(step, 0).sizes());
      case Op::drop_first: {
        const at::Tensor pictures = by_picture(sample_, in(step, 0));
        return pictures.slice(1, step.count).reshape({-1, pictures.size(2)});
      }
      case Op::embed:
        return block_.param(step.name).index_select(0, index_tensor(sample_.features->input_ids));
      case Op::place_visual:
        return sample_.registers.contains(step.in[1]) ? placed(sample_, in(step, 0), in(step, 1))
                                                      : in(step, 0);
    }
    return {};
  }

  void drop_unused(std::size_t next) {
    std::erase_if(sample_.registers, [&](const auto& entry) {
      const std::string& name = entry.first;
      for (std::size_t i = next; i < spec_.steps.size(); ++i) {
        const Step& step = spec_.steps[i];
        if (std::ranges::find(step.in, name) != step.in.end()) return false;
        if (step.out == name) return true;
      }
      return std::ranges::find(spec_.keeps, name) == spec_.keeps.end();
    });
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

std::vector<TokenClass> row_classes(const BlockSpec& spec, const SampleState& sample, std::int64_t rows) {
  const auto n = static_cast<std::size_t>(rows);
  if (!spec.on_tokens) return std::vector<TokenClass>(n, TokenClass::visual);
  const std::vector<TokenClass>& classes = sample.features->token_class;
  std::vector<TokenClass> out(n);
  for (std::size_t i = 0; i < n; ++i) {
    // The head may be run on the last rows only; they are the last of the original order then.
    const std::size_t at =
        sample.order.empty() ? classes.size() - n + i : static_cast<std::size_t>(sample.order[i]);
    out[i] = classes.at(at);
  }
  return out;
}

}  // namespace mquant
