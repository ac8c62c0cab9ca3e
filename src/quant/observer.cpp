#include "quant/observer.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "mquant/error.h"
#include "quant/tensor_rows.h"

namespace mquant {
namespace {

/// The upper 13 bits of |x|: exponent and 5 bits of mantissa, so 32 bins an octave.
constexpr int kRawShift = 18, kRawBins = 1 << 13;
constexpr int kRawInfinity = 255 << 5;
constexpr int kRawFirst = (127 + kFirstOctave) << 5, kRawEnd = (127 + kLastOctave) << 5;

std::uint32_t magnitude_bits(float x) { return std::bit_cast<std::uint32_t>(x) & 0x7fffffffU; }

/// A raw bin of non-zero values, folded into the range.
int folded(int raw) {
  if (raw < kRawFirst) return 1;
  return raw >= kRawEnd ? kHistogramBins - 1 : raw - kRawFirst + 2;
}

/// Counts of one class within one call; folded into the statistics at its end.
class Tally {
 public:
  explicit Tally(ClassStatistics& statistics) : statistics_(statistics), counts_(kRawBins) {}

  void add(const float* x, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) {
      const std::uint32_t bits = magnitude_bits(x[i]);
      zeros_ += bits == 0;
      ++counts_[bits >> kRawShift];
      low_ = std::min(low_, x[i]);
      high_ = std::max(high_, x[i]);
    }
    values_ += n;
  }

  bool finite() const {
    return std::all_of(counts_.begin() + kRawInfinity, counts_.end(),
                       [](std::int64_t count) { return count == 0; });
  }

  void finish() {
    if (values_ == 0) return;
    const bool first = statistics_.values() == 0;
    statistics_.min = first ? low_ : std::min(statistics_.min, low_);
    statistics_.max = first ? high_ : std::max(statistics_.max, high_);
    counts_[0] -= zeros_;
    statistics_.histogram[0] += zeros_;
    for (int raw = 0; raw < kRawInfinity; ++raw)
      statistics_.histogram[static_cast<std::size_t>(folded(raw))] += counts_[static_cast<std::size_t>(raw)];
  }

 private:
  ClassStatistics& statistics_;
  std::vector<std::int64_t> counts_;
  std::int64_t zeros_ = 0, values_ = 0;
  float low_ = std::numeric_limits<float>::infinity(), high_ = -std::numeric_limits<float>::infinity();
};

[[noreturn]] void fail_not_finite(const float* x, std::int64_t rows, std::int64_t width,
                                  std::int64_t stride) {
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t i = 0; i < width; ++i)
      if (!std::isfinite(x[r * stride + i]))
        fail(ErrorKind::input, "activation in row ", r, ", channel ", i, " is ", x[r * stride + i],
             "; expected finite numbers: the checkpoint or an earlier pass is broken");
  fail(ErrorKind::internal, "an activation that is not finite was counted and not found");
}

}  // namespace

int histogram_bin(float x) {
  const std::uint32_t bits = magnitude_bits(x);
  return bits == 0 ? 0 : folded(static_cast<int>(bits >> kRawShift));
}

float histogram_edge(int bin) {
  if (bin <= 1) return 0.0F;
  if (bin >= kHistogramBins) return std::numeric_limits<float>::infinity();
  return std::bit_cast<float>(static_cast<std::uint32_t>(kRawFirst + bin - 2) << kRawShift);
}

float ClassStatistics::absmax() const { return std::max(std::abs(min), std::abs(max)); }

std::int64_t ClassStatistics::values() const {
  return std::accumulate(histogram.begin(), histogram.end(), std::int64_t{0});
}

double energy(const ClassStatistics& statistics) {
  double sum = 0;
  for (int bin = 1; bin < kHistogramBins; ++bin) {
    const std::int64_t count = statistics.histogram[static_cast<std::size_t>(bin)];
    if (count == 0) continue;
    const auto low = static_cast<double>(histogram_edge(bin)),
               high = bin + 1 < kHistogramBins ? static_cast<double>(histogram_edge(bin + 1)) : low;
    const double middle = (low + high) / 2;
    sum += static_cast<double>(count) * middle * middle;
  }
  return sum;
}

Observer::Observer(std::int64_t width, bool per_channel) : width_(width), per_channel_(per_channel) {
  require(width > 0, "an observer of width ", width);
  if (per_channel)
    for (ClassStatistics& statistics : classes_)
      statistics.channel_absmax.resize(static_cast<std::size_t>(width));
}

void Observer::add(const float* x, std::int64_t rows, std::int64_t stride,
                   std::span<const TokenClass> classes, std::span<const std::int64_t> skip) {
  require(std::ssize(classes) == rows, "observer: ", classes.size(), " classes for ", rows, " rows");
  require(skip.empty() || (std::ranges::is_sorted(skip) && skip.front() >= 0 && skip.back() < width_),
          "observer: channels to skip out of order or range");
  for (std::size_t c = 0; c < classes_.size(); ++c) {
    const auto count = std::ranges::count(classes, static_cast<TokenClass>(c));
    if (count == 0) continue;
    ClassStatistics& statistics = classes_[c];
    Tally tally(statistics), apart(statistics);  // `apart` is only looked at for what is not finite
    for (std::int64_t r = 0; r < rows; ++r) {
      if (classes[static_cast<std::size_t>(r)] != static_cast<TokenClass>(c)) continue;
      const float* row = x + r * stride;
      std::int64_t begin = 0;
      for (const std::int64_t channel : skip) {
        tally.add(row + begin, channel - begin);
        apart.add(row + channel, 1);
        begin = channel + 1;
      }
      tally.add(row + begin, width_ - begin);
      for (std::size_t i = 0; i < statistics.channel_absmax.size(); ++i)
        statistics.channel_absmax[i] = std::max(statistics.channel_absmax[i], std::abs(row[i]));
    }
    if (!tally.finite() || !apart.finite()) fail_not_finite(x, rows, width_, stride);
    tally.finish();
    statistics.rows += count;
  }
}

void Observer::add(const at::Tensor& x, std::span<const TokenClass> classes,
                   std::span<const std::int64_t> skip) {
  const at::Tensor matrix = float_matrix(x, "activations");
  require(matrix.size(1) == width_, "observer of width ", width_, " given ", matrix.size(1));
  add(matrix.const_data_ptr<float>(), matrix.size(0), width_, classes, skip);
}

void merge(ClassStatistics& into, const ClassStatistics& from) {
  if (from.values() != 0) {
    const bool first = into.values() == 0;
    into.min = first ? from.min : std::min(into.min, from.min);
    into.max = first ? from.max : std::max(into.max, from.max);
  }
  into.rows += from.rows;
  for (std::size_t i = 0; i < into.histogram.size(); ++i) into.histogram[i] += from.histogram[i];
  into.channel_absmax.resize(std::max(into.channel_absmax.size(), from.channel_absmax.size()));
  for (std::size_t i = 0; i < from.channel_absmax.size(); ++i)
    into.channel_absmax[i] = std::max(into.channel_absmax[i], from.channel_absmax[i]);
}

void Observer::merge(const Observer& other) {
  require(other.width_ == width_ && other.per_channel_ == per_channel_, "observers of ", width_, " and ",
          other.width_, " channels do not merge");
  for (std::size_t c = 0; c < classes_.size(); ++c) mquant::merge(classes_[c], other.classes_[c]);
}

ClassStatistics Observer::total() const {
  ClassStatistics all;
  for (const ClassStatistics& statistics : classes_) mquant::merge(all, statistics);
  return all;
}

std::vector<float> Observer::channel_absmax() const {
  require(per_channel_, "the observer was not asked for channels");
  return total().channel_absmax;
}

}  // namespace mquant
