#include "quant/outliers.h"

#include <algorithm>
#include <cmath>

#include "kernels/bfloat16.h"
#include "kernels/rounding.h"
#include "mquant/error.h"
#include "quant/tensor_rows.h"

namespace mquant {
namespace {

/// Largest |w| of each input channel over all rows of all weights.
std::vector<float> column_absmax(std::span<const at::Tensor> weights) {
  std::vector<float> most;
  for (const at::Tensor& weight : weights) {
    const at::Tensor w = float_matrix(weight, "weight");
    require_finite(w, "weight");
    most.resize(static_cast<std::size_t>(w.size(1)));
    for (std::int64_t r = 0; r < w.size(0); ++r) {
      const std::span<const float> row = float_row(w, r);
      for (std::size_t i = 0; i < row.size(); ++i) most[i] = std::max(most[i], std::abs(row[i]));
    }
  }
  return most;
}

/// Each size over their median.  Where more than half are zero, over the smallest that is not.
std::vector<double> ratios(std::span<const float> sizes) {
  std::vector<float> sorted(sizes.begin(), sizes.end());
  std::ranges::sort(sorted);
  auto middle = sorted.begin() + std::ssize(sorted) / 2;
  middle = std::find_if(middle, sorted.end(), [](float size) { return size > 0; });
  std::vector<double> result(sizes.size());
  if (middle == sorted.end()) return result;
  for (std::size_t i = 0; i < sizes.size(); ++i)
    result[i] = static_cast<double>(sizes[i]) / static_cast<double>(*middle);
  return result;
}

}  // namespace

std::vector<std::int64_t> outlier_channels(std::span<const at::Tensor> weights,
                                           std::span<const float> activation_absmax,
                                           const OutlierOptions& options) {
  require(!weights.empty(), "outliers of no weight");
  for (const at::Tensor& w : weights)
    require(w.dim() == 2 && w.size(1) == weights[0].size(1),
            "weights of different widths do not share an input");
  const auto n = static_cast<std::size_t>(weights[0].size(1));
  require(options.activation_ratio == 0 || activation_absmax.size() == n,
          "outliers: ", activation_absmax.size(), " activation maxima for ", n, " channels");
  std::vector<double> excess(n);  // over 1: an outlier
  const auto look = [&](std::span<const float> sizes, double ratio) {
    if (ratio == 0) return;
    const std::vector<double> found = ratios(sizes);
    for (std::size_t i = 0; i < n; ++i) excess[i] = std::max(excess[i], found[i] / ratio);
  };
  look(column_absmax(weights), options.weight_ratio);
  look(activation_absmax, options.activation_ratio);
  std::vector<std::int64_t> channels;
  for (std::size_t i = 0; i < n; ++i)
    if (excess[i] > 1) channels.push_back(static_cast<std::int64_t>(i));
  std::ranges::stable_sort(channels, std::greater<>(),
                           [&](std::int64_t i) { return excess[static_cast<std::size_t>(i)]; });
  if (std::ssize(channels) > options.limit)
    channels.resize(static_cast<std::size_t>(std::max<std::int64_t>(0, options.limit)));
  std::ranges::sort(channels);
  return channels;
}

SplitColumns make_split(at::Tensor& W, std::span<const std::int64_t> channels, bool quantized) {
  require(W.dim() == 2, "a split of no matrix");
  require(std::ranges::is_sorted(channels) &&
              (channels.empty() || (channels.front() >= 0 && channels.back() < W.size(1))),
          "split channels out of order or range");
  SplitColumns split{.channels = {channels.begin(), channels.end()}, .quantized = quantized};
  const CodeRange range = code_range(8);
  for (const std::int64_t channel : channels) {
    at::Tensor column = W.select(1, channel);
    const at::Tensor copy = column.to(at::kFloat).contiguous();
    const std::span<const float> values(copy.const_data_ptr<float>(), static_cast<std::size_t>(W.size(0)));
    if (quantized) {
      float most = 0;
      for (const float value : values) most = std::max(most, std::abs(value));
      const float exact = most == 0.0F ? 1.0F : most / static_cast<float>(range.high);
      const float scale = round_up_to_bfloat16(exact);
      split.weight_scale.push_back(scale);
      split.codes.resize(split.codes.size() + values.size());
      round_row(values, scale, range, split.codes.data() + split.codes.size() - values.size());
    } else {
      split.values.insert(split.values.end(), values.begin(), values.end());
    }
    column.zero_();
  }
  return split;
}

}  // namespace mquant
