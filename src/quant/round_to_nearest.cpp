#include "quant/round_to_nearest.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>

#include "kernels/bfloat16.h"
#include "kernels/rounding.h"
#include "mquant/error.h"
#include "quant/parallel.h"
#include "quant/tensor_rows.h"

namespace mquant {
namespace {

/// Smaller scales are raised to this: below, a bfloat16 or an engine's float16 product would lose
/// them.
constexpr float kLeastScale = 0x1p-100F;

float stored_scale(float scale, int scale_bits) {
  return std::max(kLeastScale, scale_bits == 16 ? round_to_bfloat16(scale) : scale);
}

/// Candidate i of a search is 1 - i / 100 of the row's largest weight.
constexpr int kCandidates = 80;

/// Every eighth candidate, then the others by their distance to the best of those: a search that
/// has found a good one early gives up early on the rest.
class ClipSearch {
 public:
  ClipSearch(std::span<const float> w, float most, const CodeRange& range, int scale_bits)
      : w_(w), most_(most), range_(range), scale_bits_(scale_bits), unclipped_(scale_of(0)) {
    // Errors are known to 1e-5: a winner must be better than that to be better for sure.
    least_ = clip_error(w_, unclipped_, range_, HUGE_VAL) * (1 - 1e-4);
  }

  /// Of the candidate with the least error, the first of those that share it.
  float best_scale() {
    for (int i = kStep; i < kCandidates; i += kStep) look_at(i);
    const int middle = best_;
    for (int distance = 1; distance < kCandidates; ++distance)
      for (const int i : {middle - distance, middle + distance})
        if (i > 0 && i < kCandidates && i % kStep != 0) look_at(i);
    return best_ == 0 ? unclipped_ : scale_of(best_);
  }

 private:
  static constexpr int kStep = 8;

  float scale_of(int i) const {
    const auto steps = static_cast<float>(range_.high);
    return stored_scale(most_ * (1.0F - static_cast<float>(i) / 100.0F) / steps, scale_bits_);
  }

  void look_at(int i) {
    const double error = clip_error(w_, scale_of(i), range_, least_);
    if (error > least_ || (error == least_ && (best_ == 0 || best_ < i))) return;
    least_ = error;
    best_ = i;
  }

  std::span<const float> w_;
  float most_;
  CodeRange range_;
  int scale_bits_, best_ = 0;
  float unclipped_;
  double least_ = 0;
};

float row_scale(std::span<const float> w, const CodeRange& range, const RoundingOptions& options) {
  float most = 0;
  for (const float x : w) most = std::max(most, std::abs(x));
  if (most == 0.0F) return 1.0F;
  if (options.search_clip) return ClipSearch(w, most, range, options.scale_bits).best_scale();
  return stored_scale(most / static_cast<float>(range.high), options.scale_bits);
}

constexpr std::int64_t kRowsInTask = 8;

void for_each_row(std::int64_t rows, const std::function<void(std::int64_t)>& work) {
  for_each_task((rows + kRowsInTask - 1) / kRowsInTask, [&](std::int64_t task) {
    for (std::int64_t r = task * kRowsInTask; r < std::min(rows, (task + 1) * kRowsInTask); ++r) work(r);
  });
}

}  // namespace

std::vector<float> weight_scales(const at::Tensor& W, int weight_bits, const RoundingOptions& options) {
  require(options.scale_bits == 16 || options.scale_bits == 32, "scales of ", options.scale_bits, " bits");
  const CodeRange range = code_range(weight_bits);
  const at::Tensor w = float_matrix(W, "weight");
  require_finite(w, "weight");
  std::vector<float> scales(static_cast<std::size_t>(w.size(0)));
  for_each_row(w.size(0), [&](std::int64_t r) {
    scales[static_cast<std::size_t>(r)] = row_scale(float_row(w, r), range, options);
  });
  return scales;
}

QuantizedLinear round_to_nearest(const at::Tensor& W, const QuantScheme& scheme,
                                 const RoundingOptions& options) {
  const CodeRange range = code_range(scheme.weight_bits);
  const at::Tensor w = float_matrix(W, "weight");
  QuantizedLinear linear{.out = w.size(0), .in = w.size(1), .scheme = scheme};
  linear.weight_scale = weight_scales(w, scheme.weight_bits, options);
  linear.codes.resize(static_cast<std::size_t>(linear.out * linear.in));
  for_each_row(linear.out, [&](std::int64_t r) {
    round_row(float_row(w, r), linear.weight_scale[static_cast<std::size_t>(r)], range,
              linear.codes.data() + r * linear.in);
  });
  return linear;
}

at::Tensor dequantized(const QuantizedLinear& linear) {
  at::Tensor w = at::empty({linear.out, linear.in}, at::kFloat);
  float* values = w.data_ptr<float>();
  const SplitColumns& split = linear.split;
  for_each_row(linear.out, [&](std::int64_t r) {
    float* row = values + r * linear.in;
    const std::int8_t* codes = linear.codes.data() + r * linear.in;
    const float scale = linear.weight_scale[static_cast<std::size_t>(r)];
    for (std::int64_t i = 0; i < linear.in; ++i) row[i] = scale * static_cast<float>(codes[i]);
    for (std::size_t k = 0; k < split.channels.size(); ++k) {
      const std::size_t at = k * static_cast<std::size_t>(linear.out) + static_cast<std::size_t>(r);
      row[split.channels[k]] +=
          split.quantized ? split.weight_scale[k] * static_cast<float>(split.codes[at]) : split.values[at];
    }
  });
  return w;
}

}  // namespace mquant
