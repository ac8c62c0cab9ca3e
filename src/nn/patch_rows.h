// Steps over vision rows that know where a patch lies: positions, cells of patches, windows, class tokens.
#pragma once

#include "mquant/block.h"

namespace mquant {

/// One row of `table` for each patch of the sample, by its place: [patches, width].
/// @param table  [side * side, width], or [places, width] for one axis
/// @throws Error{input} if the table is not square, or a picture does not fit it and `lookup` does not resize
at::Tensor looked_up(const SampleState& sample, const at::Tensor& table, Lookup lookup);

/// x + table, whose first `leading` rows are for the rows prepended to each picture.
at::Tensor add_looked_up(const SampleState& sample, const at::Tensor& x, const at::Tensor& table,
                         Lookup lookup, std::int64_t leading);

/// x [patches, width] in raster order; each cell of side x side patches as one row [side * side * width], in the order
/// (y, x, channel).
/// @throws Error{input} for a grid that is no multiple of `side`
at::Tensor merge_grid(const SampleState& sample, const at::Tensor& x, std::int64_t side);
/// The mean of each such cell: [patches / side^2, width].
at::Tensor average_pool(const SampleState& sample, const at::Tensor& x, std::int64_t side);

/// `row` [1, width] before (behind) the rows of each picture.
at::Tensor prepend(const SampleState& sample, const at::Tensor& x, const at::Tensor& row);
at::Tensor append(const SampleState& sample, const at::Tensor& x, const at::Tensor& row);
/// x without the first `count` rows of each picture.
at::Tensor drop_first(const SampleState& sample, const at::Tensor& x, std::int64_t count);
/// `rows` [n, width] once for each picture.
at::Tensor repeat(const SampleState& sample, const at::Tensor& rows);

/// Puts the patches of each window of side x side next to each other, windows in raster order, patches in the order in
/// which they came; SampleState::patch_order remembers.  Source: Qwen2.5-VL, arXiv 2502.13923, section 2.1.1.
at::Tensor to_windows(SampleState& sample, const at::Tensor& x, std::int64_t side);
/// Undoes it, for patches or for rows that each were a run of them; forgets the order.
at::Tensor from_windows(SampleState& sample, const at::Tensor& x);

/// Index of the window of each row, counted over all pictures of the sample.
std::vector<std::int64_t> windows_of_rows(const SampleState& sample, std::int64_t side);

}  // namespace mquant
