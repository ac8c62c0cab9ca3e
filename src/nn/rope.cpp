// Rotary position embedding for text, m-rope and patch grids.
#include "nn/rope.h"

#include <ATen/Parallel.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/stack.h>

#include <algorithm>
#include <cmath>

#include "kernels/rope_rows.h"
#include "mquant/error.h"

namespace mquant {
namespace {

/// Which coordinate of a row turns frequency j of `count`, and by which exponent.
struct Frequency {
  std::size_t axis;
  double exponent;  // angle = coordinate * base^-exponent
};

Frequency frequency(const RopeSpec& rope, std::int64_t j) {
  const std::int64_t count = rope.dims / 2;
  const double exponent = 2.0 * static_cast<double>(j) / static_cast<double>(rope.dims);
  switch (rope.axes) {
    case RopeAxes::sequence: return {0, exponent};
    case RopeAxes::sections: {
      std::size_t axis = 0;
      for (std::int64_t end = rope.sections[0]; j >= end && axis < 2; end += rope.sections[axis]) ++axis;
      return {axis, exponent};
    }
    case RopeAxes::sections_in_turns: {
      const auto axis = static_cast<std::size_t>(j % 3);
      return {axis != 0 && j < 3 * rope.sections[axis] ? axis : 0, exponent};
    }
    case RopeAxes::grid:  // the same frequencies for row and column
      return {j < count / 2 ? std::size_t{0} : std::size_t{1}, 2.0 * exponent - (j < count / 2 ? 0.0 : 1.0)};
  }
  return {0, exponent};
}

/// Coordinates of row i: (t, h, w) of a token, (row, column) of a patch.
std::array<std::int64_t, 3> coordinates(bool on_tokens, const SampleState& sample, std::size_t i) {
  if (!on_tokens) {
    const auto& patch = sample.features->patches.at(
        sample.patch_order.empty() ? i : static_cast<std::size_t>(sample.patch_order[i]));
    return {patch[0], patch[1], 0};
  }
  const std::size_t at = sample.order.empty() ? i : static_cast<std::size_t>(sample.order[i]);
  return sample.features->positions.at(at);
}

/// The base for a prompt of n tokens.
double base_of(const RopeSpec& rope, std::int64_t n) {
  if (rope.stretch == Stretch::none || n <= rope.trained_length) return rope.base;
  const double ratio = static_cast<double>(n) / static_cast<double>(rope.trained_length);
  const double alpha = rope.stretch == Stretch::qwen
                           ? std::exp2(std::ceil(std::log2(ratio) + 1)) - 1
                           : rope.stretch_factor * ratio - (rope.stretch_factor - 1);
  const auto dims = static_cast<double>(rope.dims);
  return rope.base * std::pow(std::max(alpha, 1.0), dims / (dims - 2));
}

/// Angle of frequency j for a coordinate of 1, and its axis.
template <class Real>
std::vector<std::pair<Real, std::size_t>> frequencies(const Block& block, const SampleState& sample) {
  const RopeSpec& rope = block.spec().attention.rope;
  const Features& features = *sample.features;
  const double base =
      base_of(rope, features.prompt_length > 0 ? features.prompt_length
                                               : static_cast<std::int64_t>(features.input_ids.size()));
  const at::Tensor stored = rope.frequencies.empty() ? at::Tensor() : block.param(rope.frequencies);
  std::vector<std::pair<Real, std::size_t>> out;
  for (std::int64_t j = 0; j < rope.dims / 2; ++j) {
    const Frequency f = frequency(rope, j);
    out.emplace_back(
        stored.defined() ? stored.data_ptr<Real>()[j] : static_cast<Real>(1.0 / std::pow(base, f.exponent)),
        f.axis);
  }
  return out;
}

template <class Real>
RopeAngles<Real> angles_of(const Block& block, const SampleState& sample) {
  const bool on_tokens = block.spec().on_tokens;
  const std::size_t rows = on_tokens ? sample.features->input_ids.size() : sample.features->patches.size();
  RopeAngles<Real> angles{frequencies<Real>(block, sample), {}, block.spec().attention.rope.position_scale};
  angles.coordinates.reserve(rows);
  for (std::size_t i = 0; i < rows; ++i) angles.coordinates.push_back(coordinates(on_tokens, sample, i));
  return angles;
}

template <class Real>
RopeTable table_of(RopeAngles<Real> angles, at::ScalarType dtype) {
  const auto rows = std::ssize(angles.coordinates), count = std::ssize(angles.turns);
  RopeTable table{at::empty({rows, count}, dtype), at::empty({rows, count}, dtype), {}};
  auto *cos = table.cos.data_ptr<Real>(), *sin = table.sin.data_ptr<Real>();
  for (const auto& at : angles.coordinates)
    for (const auto& [frequency, axis] : angles.turns) {
      const auto position = static_cast<Real>(static_cast<double>(at[axis]) * angles.position_scale);
      const Real angle = position * frequency;
      *cos++ = static_cast<Real>(std::cos(static_cast<double>(angle)));
      *sin++ = static_cast<Real>(std::sin(static_cast<double>(angle)));
    }
  table.made_from = std::move(angles);
  return table;
}

template <class Real>
std::shared_ptr<const RopeTable> shared_table(const Block& block, SampleState& sample, at::ScalarType dtype) {
  constexpr std::size_t kKept = 2;  // decoders may have two kinds of layers by turns
  RopeAngles<Real> angles = angles_of<Real>(block, sample);
  for (const auto& table : sample.rope_tables) {
    const auto* made_from = std::get_if<RopeAngles<Real>>(&table->made_from);
    if (made_from != nullptr && *made_from == angles) return table;
  }
  if (sample.rope_tables.size() == kKept) sample.rope_tables.erase(sample.rope_tables.begin());
  sample.rope_tables.push_back(std::make_shared<const RopeTable>(table_of(std::move(angles), dtype)));
  return sample.rope_tables.back();
}

at::Tensor turned_floats(const at::Tensor& rows, const RopeTable& table, const RopeSpec& rope,
                         std::int64_t head_dim) {
  constexpr std::int64_t kValuesAThread = 1 << 15;
  const at::Tensor x = rows.contiguous();
  const std::int64_t width = x.size(1), half = rope.dims / 2;
  require(table.cos.size(0) == x.size(0) && table.cos.size(1) == half && width % head_dim == 0,
          "a rope table of ", table.cos.size(0), " rows for ", x.size(0), " rows of ", width);
  at::Tensor out = at::empty_like(x);
  const RopeRows all{.x = x.data_ptr<float>(),
                     .out = out.data_ptr<float>(),
                     .cos = table.cos.data_ptr<float>(),
                     .sin = table.sin.data_ptr<float>(),
                     .rows = x.size(0),
                     .heads = width / head_dim,
                     .head_dim = head_dim,
                     .dims = rope.dims,
                     .x_stride = width,
                     .out_stride = width,
                     .neighbours = rope.pairs == RopePairs::neighbours};
  const std::int64_t rows_a_thread = std::max<std::int64_t>(1, kValuesAThread / width);
  at::parallel_for(0, all.rows, rows_a_thread, [&](std::int64_t begin, std::int64_t end) {
    RopeRows part = all;
    part.x += begin * width;
    part.out += begin * width;
    part.cos += begin * half;
    part.sin += begin * half;
    part.rows = end - begin;
    rope_rows(part);
  });
  return out;
}

}  // namespace

std::shared_ptr<const RopeTable> rope_table(const Block& block, SampleState& sample, at::ScalarType dtype) {
  if (block.spec().attention.rope.pairs == RopePairs::none) return nullptr;
  return dtype == at::kFloat ? shared_table<float>(block, sample, dtype)
                             : shared_table<double>(block, sample, dtype);
}

at::Tensor apply_rope(const at::Tensor& x, const RopeTable* table, const RopeSpec& rope,
                      std::int64_t head_dim) {
  if (table == nullptr) return x;
  if (x.scalar_type() == at::kFloat) return turned_floats(x, *table, rope, head_dim);
  const std::int64_t half = rope.dims / 2;
  const at::Tensor heads = x.view({x.size(0), -1, head_dim});
  const at::Tensor front = heads.narrow(2, 0, rope.dims);
  const at::Tensor cos = table->cos.unsqueeze(1), sin = table->sin.unsqueeze(1);
  at::Tensor turned;
  if (rope.pairs == RopePairs::halves) {
    const at::Tensor a = front.narrow(2, 0, half), b = front.narrow(2, half, half);
    turned = at::cat({a * cos - b * sin, b * cos + a * sin}, 2);
  } else {
    const at::Tensor a = front.slice(2, 0, rope.dims, 2), b = front.slice(2, 1, rope.dims, 2);
    turned = at::stack({a * cos - b * sin, b * cos + a * sin}, 3).flatten(2);
  }
  if (rope.dims < head_dim) turned = at::cat({turned, heads.narrow(2, rope.dims, head_dim - rope.dims)}, 2);
  return turned.reshape(x.sizes());
}

}  // namespace mquant
