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

/// The channel's column in each weight, where zeros replace it.
std::vector<std::vector<float>> take_column(std::span<at::Tensor> weights, std::int64_t channel) {
  std::vector<std::vector<float>> columns;
  for (at::Tensor& weight : weights) {
    at::Tensor column = weight.select(1, channel);
    const at::Tensor copy = column.to(at::kFloat).contiguous();
    columns.emplace_back(copy.const_data_ptr<float>(), copy.const_data_ptr<float>() + copy.numel());
    column.zero_();
  }
  return columns;
}

/// Of int8 codes for all values of a column.
float column_scale(const std::vector<std::vector<float>>& columns) {
  float most = 0;
  for (const std::vector<float>& values : columns)
    for (const float value : values) most = std::max(most, std::abs(value));
  return round_up_to_bfloat16(most == 0.0F ? 1.0F : most / static_cast<float>(code_range(8).high));
}

/// Appends a column, as codes or floats.
void put_column(SplitColumns& split, std::span<const float> values, float scale) {
  if (!split.quantized) {
    split.values.insert(split.values.end(), values.begin(), values.end());
    return;
  }
  split.weight_scale.push_back(scale);
  split.codes.resize(split.codes.size() + values.size());
  round_row(values, scale, code_range(8), split.codes.data() + split.codes.size() - values.size());
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
  for (const double ratio : {options.weight_ratio, options.activation_ratio})
    require(ratio == 0 || ratio >= 1, "outliers: a ratio of ", ratio, " to the median");
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
  // Both measures together may find more than half of the channels, and with all of them split no
  // integer matrix would be left.
  const std::int64_t most = std::clamp<std::int64_t>(options.limit, 0, static_cast<std::int64_t>(n / 2));
  if (std::ssize(channels) > most) channels.resize(static_cast<std::size_t>(most));
  std::ranges::sort(channels);
  return channels;
}

std::vector<SplitColumns> make_splits(std::span<at::Tensor> weights, std::span<const std::int64_t> channels,
                                      bool quantized) {
  require(!weights.empty(), "a split of no matrix");
  for (const at::Tensor& weight : weights) require(weight.dim() == 2, "a split of no matrix");
  for (const at::Tensor& weight : weights)
    require(weight.size(1) == weights[0].size(1), "weights of different widths are not rows of one matrix");
  require(std::ranges::is_sorted(channels) &&
              (channels.empty() || (channels.front() >= 0 && channels.back() < weights[0].size(1))),
          "split channels out of order or range");
  std::vector<SplitColumns> parts(weights.size());
  for (SplitColumns& part : parts)
    part = {.channels = {channels.begin(), channels.end()}, .quantized = quantized};
  for (const std::int64_t channel : channels) {
    const std::vector<std::vector<float>> columns = take_column(weights, channel);
    const float scale = column_scale(columns);
    for (std::size_t i = 0; i < parts.size(); ++i) put_column(parts[i], columns[i], scale);
  }
  return parts;
}

}  // namespace mquant
