// Token rows by class and by place.
#include "nn/token_rows.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>

#include "mquant/error.h"
#include "nn/tensors.h"

namespace mquant {
namespace {

/// Rows, in their current order, of the tokens that a vision row overwrites, sorted by the tokens' original order.
std::vector<std::int64_t> overwritten_rows(const SampleState& sample) {
  const std::vector<std::int64_t>& picture = sample.features->picture;
  std::vector<std::int64_t> row_of(picture.size());
  for (std::size_t i = 0; i < picture.size(); ++i)
    row_of[sample.order.empty() ? i : static_cast<std::size_t>(sample.order[i])] =
        static_cast<std::int64_t>(i);
  std::vector<std::int64_t> rows;
  for (std::size_t i = 0; i < picture.size(); ++i)
    if (picture[i] >= 0) rows.push_back(row_of[i]);
  return rows;
}

at::Tensor overwritten_index(const SampleState& sample, const at::Tensor& visual) {
  const std::vector<std::int64_t> rows = overwritten_rows(sample);
  require(visual.size(0) == static_cast<std::int64_t>(rows.size()), "the vision tower made ", visual.size(0),
          " embeddings for ", rows.size(), " visual tokens");
  return index_tensor(rows);
}

/// Rows of a set among all rows of the block.
std::vector<std::int64_t> rows_in(const SampleState& sample, RowSet set) {
  const std::vector<TokenClass>& classes = sample.features->token_class;
  std::vector<std::int64_t> rows;
  for (std::size_t i = 0; i < classes.size(); ++i) {
    const std::size_t at = sample.order.empty() ? i : static_cast<std::size_t>(sample.order[i]);
    if ((classes[at] == TokenClass::visual) == (set == RowSet::visual))
      rows.push_back(static_cast<std::int64_t>(i));
  }
  return rows;
}

}  // namespace

at::Tensor place_visual(const SampleState& sample, const at::Tensor& x, const at::Tensor& visual) {
  return x.index_copy(0, overwritten_index(sample, visual), visual);
}

at::Tensor add_visual(const SampleState& sample, const at::Tensor& x, const at::Tensor& visual) {
  return x.index_add(0, overwritten_index(sample, visual), visual);
}

at::Tensor take_rows(const SampleState& sample, const at::Tensor& x, RowSet set) {
  return x.index_select(0, index_tensor(rows_in(sample, set)));
}

at::Tensor join_rows(const SampleState& sample, const at::Tensor& visual, const at::Tensor& others) {
  at::Tensor out = at::empty({visual.size(0) + others.size(0), visual.size(1)}, visual.options());
  out.index_copy_(0, index_tensor(rows_in(sample, RowSet::visual)), visual);
  out.index_copy_(0, index_tensor(rows_in(sample, RowSet::others)), others);
  return out;
}

}  // namespace mquant
