// Steps over token rows that know what a token is: visual or not, whatever the order of the rows is.
#pragma once

#include "mquant/block.h"

namespace mquant {

/// x with the rows of visual tokens replaced by those of `visual`, in the order of the tokens.
at::Tensor place_visual(const SampleState& sample, const at::Tensor& x, const at::Tensor& visual);
/// x + visual in those rows.
at::Tensor add_visual(const SampleState& sample, const at::Tensor& x, const at::Tensor& visual);

/// The rows of a set, and both sets in one again.
at::Tensor take_rows(const SampleState& sample, const at::Tensor& x, RowSet set);
at::Tensor join_rows(const SampleState& sample, const at::Tensor& visual, const at::Tensor& others);

}  // namespace mquant
