// What calibration remembers of the inputs of a group of linears, for each class of tokens.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "mquant/sample.h"
#include "mquant/scheme.h"
#include "mquant/tensor.h"

namespace mquant {

/// |x| in bins, 32 an octave, from 2^-30 to 2^30: counts add up exactly, in any order.
/// Bin 0 holds zeros, bin 1 what is smaller than 2^-30, the last what is 2^30 and more.
inline constexpr int kBinsPerOctave = 32, kFirstOctave = -30, kLastOctave = 30;
inline constexpr int kHistogramBins = (kLastOctave - kFirstOctave) * kBinsPerOctave + 3;
int histogram_bin(float x);
/// Least |x| of a bin; of kHistogramBins, infinity.
float histogram_edge(int bin);

/// One class.  All zero when no row of it has come.
struct ClassStatistics {
  std::int64_t rows = 0;
  float min = 0, max = 0;
  std::vector<std::int64_t> histogram = std::vector<std::int64_t>(kHistogramBins);
  std::vector<float> channel_absmax;  ///< [in] if the observer was asked for it, skipped channels included

  float absmax() const;
  std::int64_t values() const;  ///< sum of the histogram
};

/// Sum of squares, each value taken as the middle of its bin: within 1.6 % of the exact sum, and the same for any order of
/// rows.  Values beyond the last bin count as its least.
double energy(const ClassStatistics& statistics);

/// Counts, extremes and histograms merge exactly: the result depends neither on the order of samples nor on threads.
class Observer {
 public:
  explicit Observer(std::int64_t width, bool per_channel = false);

  /// @param x        [rows, width], rows `stride` apart
  /// @param classes  [rows]
  /// @param skip     channels, ascending, that are kept apart (split): not in min, max and histogram
  /// @throws Error{input} naming row and channel of a NaN or infinity, skipped channels included
  void add(const float* x, std::int64_t rows, std::int64_t stride, std::span<const TokenClass> classes,
           std::span<const std::int64_t> skip = {});
  void add(const at::Tensor& x, std::span<const TokenClass> classes, std::span<const std::int64_t> skip = {});

  void merge(const Observer& other);

  std::int64_t width() const { return width_; }
  const ClassStatistics& of(TokenClass token_class) const {
    return classes_[static_cast<std::size_t>(token_class)];
  }
  /// All classes as one.
  ClassStatistics total() const;
  /// Largest |x| of each channel over all classes, [width].  Error{internal} unless per_channel.
  std::vector<float> channel_absmax() const;

 private:
  std::int64_t width_;
  bool per_channel_;
  std::array<ClassStatistics, kTokenClasses> classes_;
};

void merge(ClassStatistics& into, const ClassStatistics& from);

enum class ScaleRule {
  max,         ///< max |x| / 127, rounded up: nothing is clipped
  mse,         ///< the clipping that minimizes the squared error, by the histogram
  percentile,  ///< clips all but the given share of values
};

struct ScaleOptions {
  ScaleRule rule = ScaleRule::max;
  double percentile = 0.99999;
  int scale_bits = 16;  ///< scales are rounded to bfloat16 (16) or kept float32 (32)
};

/// The int8 scale of one class, positive.  A class that only saw zeros gets the least scale, 2^-23.
/// @throws Error{internal} for a class without values; Error{usage} for a percentile outside (0, 1]
float choose_scale(const ClassStatistics& statistics, const ScaleOptions& options);

/// The scale of an input channel that is kept apart: its largest |x| / 127.
float channel_scale(float absmax, int scale_bits);

/// A scale for each class that has rows.
ClassScales choose_scales(const Observer& observer, const ScaleOptions& options);

/// Mean squared error of quantizing values as the histogram says, each bin uniform within, to int8 with this scale.
double histogram_mse(const ClassStatistics& statistics, double scale);

}  // namespace mquant
