// Vision rows by place.  Pictures (tiles) lie one behind the other; Features::patches says where each patch is.
#include "nn/patch_rows.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/upsample_bicubic2d.h>
#include <ATen/ops/upsample_bilinear2d.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "mquant/error.h"
#include "nn/tensors.h"

namespace mquant {
namespace {

std::int64_t pictures_of(const SampleState& sample) {
  return static_cast<std::int64_t>(sample.features->grids.size());
}

/// x [rows, width] as [pictures, rows of one, width].
/// @throws Error{unsupported} unless all pictures (tiles) have as many rows
at::Tensor by_picture(const SampleState& sample, const at::Tensor& x) {
  for (const Grid& grid : sample.features->grids)
    if (grid.rows() != sample.features->grids[0].rows())
      fail(ErrorKind::unsupported, "pictures of ", grid.rows(), " and ", sample.features->grids[0].rows(),
           " patches in one sample; a tower with a class token takes one size");
  return x.view({pictures_of(sample), -1, x.size(1)});
}

std::int64_t side_of(const at::Tensor& table) {
  const auto side = static_cast<std::int64_t>(std::llround(std::sqrt(static_cast<double>(table.size(0)))));
  if (side * side != table.size(0))
    fail(ErrorKind::input, "a position table of ", table.size(0), " places: expected a square number");
  return side;
}

/// The cell of `side` that each of `count` places falls into, as float32 finds it in the reference.
/// Source: Patch n' Pack, arXiv 2307.06304; modeling_navit_siglip.py of MiniCPM-V, which has exact ties.
std::vector<std::int64_t> buckets(std::int64_t count, std::int64_t side) {
  std::vector<float> boundaries;  // torch.arange(1 / side, 1.0, 1 / side)
  const double width = 1.0 / static_cast<double>(side);
  const auto steps = static_cast<std::int64_t>(std::ceil((1.0 - width) / width));
  for (std::int64_t i = 0; i < steps; ++i)
    boundaries.push_back(static_cast<float>(width + static_cast<double>(i) * width));
  std::vector<std::int64_t> cells;
  const auto step = static_cast<float>(1.0 / static_cast<double>(count));
  for (std::int64_t i = 0; i < count; ++i) {
    const auto at = static_cast<float>(static_cast<double>(i) * static_cast<double>(step));
    cells.push_back(std::ranges::upper_bound(boundaries, at) - boundaries.begin());
  }
  return cells;
}

/// The table as a grid of h x w places, [h * w, width].
at::Tensor resized(const at::Tensor& table, const Grid& grid, Lookup lookup) {
  const std::int64_t side = side_of(table), width = table.size(1);
  const std::vector<std::int64_t> size = {grid.h, grid.w};
  const at::Tensor planes = table.t().reshape({1, width, side, side});
  switch (lookup) {
    case Lookup::bicubic: return at::upsample_bicubic2d(planes, size, false).reshape({width, -1}).t();
    case Lookup::bilinear: return at::upsample_bilinear2d(planes, size, true).reshape({width, -1}).t();
    case Lookup::buckets: {
      const std::vector<std::int64_t> rows = buckets(grid.h, side), columns = buckets(grid.w, side);
      std::vector<std::int64_t> index;
      for (const std::int64_t row : rows)
        for (const std::int64_t column : columns) index.push_back(row * side + column);
      return table.index_select(0, index_tensor(index));
    }
    default:
      if (grid.h != side || grid.w != side)
        fail(ErrorKind::input, "a picture of ", grid.h, " x ", grid.w, " patches; the position table has ",
             side, " x ", side, " places");
      return table;
  }
}

at::Tensor by_axis(const SampleState& sample, const at::Tensor& table, std::size_t axis) {
  std::vector<std::int64_t> index;
  for (const auto& patch : sample.features->patches) {
    if (patch[axis] >= table.size(0))
      fail(ErrorKind::input, "a picture of more than ", table.size(0), " patches on one side");
    index.push_back(patch[axis]);
  }
  return table.index_select(0, index_tensor(index));
}

/// x as [cells, side * side, width].
at::Tensor cells_of(const SampleState& sample, const at::Tensor& x, std::int64_t side) {
  std::vector<at::Tensor> pictures;
  std::int64_t begin = 0;
  for (const Grid& grid : sample.features->grids) {
    if (grid.h % side != 0 || grid.w % side != 0)
      fail(ErrorKind::input, "a picture of ", grid.h, " x ", grid.w, " patches: expected multiples of ",
           side);
    require(begin + grid.rows() <= x.size(0), "fewer rows than patches");
    pictures.push_back(x.narrow(0, begin, grid.rows())
                           .view({grid.t * grid.h / side, side, grid.w / side, side, x.size(1)})
                           .transpose(1, 2)
                           .reshape({-1, side * side, x.size(1)}));
    begin += grid.rows();
  }
  require(begin == x.size(0), x.size(0), " rows of ", begin, " patches");
  return at::cat(pictures);
}

at::Tensor beside(const SampleState& sample, const at::Tensor& x, const at::Tensor& row, bool before) {
  const at::Tensor pictures = x.view({pictures_of(sample), -1, x.size(1)});
  const at::Tensor rows = row.view({1, 1, -1}).expand({pictures.size(0), 1, x.size(1)});
  return (before ? at::cat({rows, pictures}, 1) : at::cat({pictures, rows}, 1)).reshape({-1, x.size(1)});
}

}  // namespace

at::Tensor looked_up(const SampleState& sample, const at::Tensor& table, Lookup lookup) {
  if (lookup == Lookup::by_row) return by_axis(sample, table, 0);
  if (lookup == Lookup::by_column) return by_axis(sample, table, 1);
  std::vector<at::Tensor> pictures;
  at::Tensor places;
  Grid of;  // pictures of one size share the resized table
  std::size_t begin = 0;
  for (const Grid& grid : sample.features->grids) {
    if (grid.h != of.h || grid.w != of.w) places = resized(table, grid, lookup);
    of = grid;
    std::vector<std::int64_t> index;
    for (std::int64_t i = 0; i < grid.rows(); ++i, ++begin) {
      const auto& patch = sample.features->patches.at(begin);
      index.push_back(patch[0] * grid.w + patch[1]);
    }
    pictures.push_back(places.index_select(0, index_tensor(index)));
  }
  return at::cat(pictures);
}

at::Tensor add_looked_up(const SampleState& sample, const at::Tensor& x, const at::Tensor& table,
                         Lookup lookup, std::int64_t leading) {
  if (leading == 0) return x + looked_up(sample, table, lookup);
  const at::Tensor of_patches = looked_up(sample, table.slice(0, leading), lookup);
  const at::Tensor pictures = by_picture(sample, of_patches);
  const at::Tensor first =
      table.narrow(0, 0, leading).unsqueeze(0).expand({pictures.size(0), leading, x.size(1)});
  return x + at::cat({first, pictures}, 1).reshape({-1, x.size(1)});
}

at::Tensor merge_grid(const SampleState& sample, const at::Tensor& x, std::int64_t side) {
  return cells_of(sample, x, side).flatten(1);
}

at::Tensor average_pool(const SampleState& sample, const at::Tensor& x, std::int64_t side) {
  return cells_of(sample, x, side).mean(1);
}

at::Tensor prepend(const SampleState& sample, const at::Tensor& x, const at::Tensor& row) {
  by_picture(sample, x);  // one size
  return beside(sample, x, row, true);
}

at::Tensor append(const SampleState& sample, const at::Tensor& x, const at::Tensor& row) {
  by_picture(sample, x);
  return beside(sample, x, row, false);
}

at::Tensor drop_first(const SampleState& sample, const at::Tensor& x, std::int64_t count) {
  const at::Tensor pictures = by_picture(sample, x);
  return pictures.slice(1, count).reshape({-1, pictures.size(2)});
}

at::Tensor repeat(const SampleState& sample, const at::Tensor& rows) {
  return rows.repeat({pictures_of(sample), 1});
}

std::vector<std::int64_t> windows_of_rows(const SampleState& sample, std::int64_t side) {
  std::vector<std::int64_t> of_patch, of_row;
  std::size_t begin = 0;
  std::int64_t first = 0;
  for (const Grid& grid : sample.features->grids) {
    const std::int64_t across = (grid.w + side - 1) / side, down = (grid.h + side - 1) / side;
    for (std::int64_t i = 0; i < grid.rows(); ++i, ++begin) {
      const auto& patch = sample.features->patches.at(begin);
      of_patch.push_back(first + patch[0] / side * across + patch[1] / side);
    }
    first += across * down;
  }
  if (sample.patch_order.empty()) return of_patch;
  for (const std::int64_t patch : sample.patch_order)
    of_row.push_back(of_patch.at(static_cast<std::size_t>(patch)));
  return of_row;
}

at::Tensor to_windows(SampleState& sample, const at::Tensor& x, std::int64_t side) {
  sample.patch_order.clear();
  const std::vector<std::int64_t> windows = windows_of_rows(sample, side);
  std::vector<std::int64_t> order(windows.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, {}, [&](std::int64_t i) { return windows[static_cast<std::size_t>(i)]; });
  sample.patch_order = std::move(order);
  return x.index_select(0, index_tensor(sample.patch_order));
}

at::Tensor from_windows(SampleState& sample, const at::Tensor& x) {
  const std::vector<std::int64_t> patches = std::exchange(sample.patch_order, {});
  const auto count = static_cast<std::int64_t>(patches.size());
  require(x.size(0) > 0 && count % x.size(0) == 0, x.size(0), " rows of ", count, " patches in windows");
  const std::int64_t run = count / x.size(0);  // patches in a row
  std::vector<std::int64_t> index;
  for (std::int64_t i = 0; i < x.size(0); ++i)
    index.push_back(patches[static_cast<std::size_t>(i * run)] / run);
  return at::empty_like(x).index_copy_(0, index_tensor(index), x);
}

}  // namespace mquant
