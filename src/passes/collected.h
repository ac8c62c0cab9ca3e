// What passes ask of the inputs of one group of linears, and what a sweep over the samples has
// collected of them.
//
// A pass never sees the inputs themselves: it names statistics, which the sweep (pipeline/sweep.h)
// collects while samples run by, and decides from them.  Counts, maxima and integer sums do not
// depend on the order of rows; the one sum of floats, a second moment of inputs without scales, is
// taken in the order of the samples.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "mquant/sample.h"
#include "mquant/scheme.h"
#include "quant/hessian.h"
#include "quant/observer.h"
#include "quant/second_moment.h"

namespace mquant {

/// A real number for each class of tokens.
using ByClass = std::array<double, kTokenClasses>;

/// A second moment of the inputs, for GPTQ.
struct SecondMomentRequest {
  ByClass weights = {1, 1, 1};  ///< lambda of the rows of each class
  std::optional<ClassScales>
      scales;  ///< of the int8 codes that the product sees; none: the inputs as they are
};

/// The sum of lambda x x^T over rows: of codes, as integers times `unit`, or of floats.
struct SecondMoment {
  std::unique_ptr<CodeMoments> codes;
  double unit = 1;
  std::unique_ptr<HessianAccumulator> floats;  ///< where there are no codes

  std::int64_t width() const { return codes != nullptr ? codes->width() : floats->width(); }
  std::int64_t rows() const { return codes != nullptr ? codes->rows() : floats->rows(); }
};

/// What a pass wants of the inputs, after the group's online rotation.
struct Request {
  bool class_histogram = false;
  std::vector<std::int64_t> split = {};  ///< channels that the histogram leaves out; each has one of its own
  bool channel_max = false;
  std::optional<SecondMomentRequest> second_moment = {};

  bool any() const { return class_histogram || channel_max || second_moment.has_value(); }
};

/// |x| of each class in bins, extremes, and rows.
struct ClassHistogram {
  Observer inputs;                 ///< of all channels that are not split
  std::vector<Observer> of_split;  ///< of each of those alone

  /// Sum of squares of the inputs of each class, each value taken as the middle of its bin: the
  /// same for any order.
  ByClass energies() const;
};

struct Collected {
  std::int64_t width = 0;
  std::optional<ClassHistogram> histogram = {};
  std::optional<std::vector<float>> channel_max = {};  ///< [width], over all classes
  std::optional<SecondMoment> second_moment = {};      ///< taken by the pass that asked for it
};

/// What a pass wants of the keys and values of a block's attention, as a cache holds them: the
/// keys after the rotary embedding.
struct CacheRequest {
  std::int64_t key_width = 1, value_width = 1;  ///< channels that share a histogram: a head's, or 1
};

/// Histograms of units of channels, first to last.
struct CollectedCache {
  std::vector<ClassStatistics> keys, values;
  bool is_empty() const { return keys.empty() || keys.front().rows == 0; }
};

}  // namespace mquant
