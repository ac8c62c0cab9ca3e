#include "quant/hessian.h"

#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>

#include "kernels/gemm_f32.h"
#include "mquant/error.h"
#include "quant/parallel.h"
#include "quant/tensor_rows.h"

namespace mquant {
namespace {

constexpr std::int64_t kChunk = 512;  // rows: part of what the result is
constexpr std::int64_t kTile = 192;   // columns

}  // namespace

HessianAccumulator::HessianAccumulator(std::int64_t in) : in_(in) {
  require(in > 0, "a Hessian of width ", in);
}

void HessianAccumulator::add(const at::Tensor& X, std::span<const float> weights) {
  const at::Tensor x = float_matrix(X, "input");
  require(x.size(1) == in_, "Hessian: inputs of width ", x.size(1), " for ", in_);
  require(weights.empty() || std::ssize(weights) == x.size(0), "Hessian: ", weights.size(), " weights for ",
          x.size(0), " rows");
  buffer_.resize(static_cast<std::size_t>(kChunk * in_));
  for (std::int64_t r = 0; r < x.size(0); ++r) {
    const float factor = weights.empty() ? 1.0F : std::sqrt(weights[static_cast<std::size_t>(r)]);
    std::ranges::transform(float_row(x, r), buffer_.data() + buffered_ * in_,
                           [=](float v) { return factor * v; });
    if (++buffered_ == kChunk) flush();
  }
  rows_ += x.size(0);
}

/// Tile (i, j), j <= i, of the sum; each task writes one.
void HessianAccumulator::flush() {
  if (!sum_.defined()) sum_ = at::zeros({in_, in_}, at::kFloat);
  float* sum = sum_.data_ptr<float>();
  const std::int64_t tiles = (in_ + kTile - 1) / kTile;
  for_each_task(tiles * (tiles + 1) / 2, [&](std::int64_t task) {
    std::int64_t i = 0;
    while ((i + 1) * (i + 2) / 2 <= task) ++i;
    const std::int64_t row = i * kTile, column = (task - i * (i + 1) / 2) * kTile;
    const std::int64_t rows = std::min(kTile, in_ - row), columns = std::min(kTile, in_ - column);
    std::vector<float> tile(static_cast<std::size_t>(rows * columns));
    gemm_f32(tile.data(), columns, {buffer_.data() + row, 1, in_}, {buffer_.data() + column, in_, 1}, rows,
             columns, buffered_);
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t c = 0; c < columns; ++c)
        sum[(row + r) * in_ + column + c] += tile[static_cast<std::size_t>(r * columns + c)];
  });
  buffered_ = 0;
}

at::Tensor HessianAccumulator::take() {
  flush();
  at::Tensor H = std::exchange(sum_, {});
  float* h = H.data_ptr<float>();
  for_each_task((in_ + kTile - 1) / kTile, [&](std::int64_t task) {
    // Rows task * kTile and on, from the columns below the diagonal.
    for (std::int64_t i = 0; i < in_; ++i)
      for (std::int64_t j = task * kTile; j < std::min(i, (task + 1) * kTile); ++j)
        h[j * in_ + i] = h[i * in_ + j];
  });
  buffer_.clear();
  buffer_.shrink_to_fit();
  rows_ = 0;
  return H;
}

}  // namespace mquant
