// From the statistics of a class to its static scale.
#include <algorithm>
#include <cmath>

#include "kernels/bfloat16.h"
#include "mquant/error.h"
#include "quant/observer.h"

namespace mquant {
namespace {

constexpr double kSteps = 127;
constexpr float kLeastScale = 0x1p-23F;

float stored_scale(double scale, ScaleRule rule, int scale_bits) {
  require(scale_bits == 16 || scale_bits == 32, "scales of ", scale_bits, " bits");
  const auto value = static_cast<float>(scale);
  // Only `max` promises that nothing is clipped, so only it has to round up.
  const float bounded =
      rule == ScaleRule::max && static_cast<double>(value) < scale ? std::nextafter(value, HUGE_VALF) : value;
  if (scale_bits == 32) return std::max(bounded, kLeastScale);
  return std::max(rule == ScaleRule::max ? round_up_to_bfloat16(bounded) : round_to_bfloat16(bounded),
                  kLeastScale);
}

/// Integral of (u - code(u))^2 from 0 to t >= 0, in units of the scale: the code is the nearest integer, at most 127.
double error_integral(double t) {
  const double whole = std::min(std::floor(t + 0.5), kSteps), rest = t - whole;
  return whole / 12 + rest * rest * rest / 3;
}

/// Upper end of what a bin holds; the last one ends at the largest value seen.
double bin_end(int bin, double most) { return std::min(most, static_cast<double>(histogram_edge(bin + 1))); }

/// Least |x| that at least `share` of all values do not exceed, to the end of its bin.
double percentile(const ClassStatistics& statistics, double share) {
  const auto wanted = share * static_cast<double>(statistics.values());
  std::int64_t below = 0;
  for (int bin = 0; bin < kHistogramBins; ++bin) {
    below += statistics.histogram[static_cast<std::size_t>(bin)];
    if (static_cast<double>(below) >= wanted) return bin == 0 ? 0.0 : bin_end(bin, statistics.absmax());
  }
  return statistics.absmax();
}

/// Clipping points, 16 an octave, from the largest value down to a 64th of it.
double best_clip(const ClassStatistics& statistics) {
  constexpr int kCandidates = 6 * 16;
  const double most = statistics.absmax();
  double best = most, least = HUGE_VAL;
  for (int i = 0; i <= kCandidates; ++i) {
    const double clip = most * std::exp2(-i / 16.0), error = histogram_mse(statistics, clip / kSteps);
    if (error >= least) continue;
    least = error;
    best = clip;
  }
  return best;
}

}  // namespace

double histogram_mse(const ClassStatistics& statistics, double scale) {
  const double most = statistics.absmax();
  double sum = 0;
  for (int bin = 1; bin < kHistogramBins; ++bin) {
    const auto count = static_cast<double>(statistics.histogram[static_cast<std::size_t>(bin)]);
    if (count == 0) continue;
    const double begin = static_cast<double>(histogram_edge(bin)) / scale, end = bin_end(bin, most) / scale;
    if (end > begin) {
      sum += count * (error_integral(end) - error_integral(begin)) / (end - begin);
    } else {  // the largest value stands on the edge of its bin
      const double error = begin - std::min(std::floor(begin + 0.5), kSteps);
      sum += count * error * error;
    }
  }
  const auto values = static_cast<double>(statistics.values());
  return values == 0 ? 0.0 : sum * scale * scale / values;
}

float choose_scale(const ClassStatistics& statistics, const ScaleOptions& options) {
  require(statistics.values() > 0, "a scale for a class without values");
  if (!(options.percentile > 0 && options.percentile <= 1))
    fail(ErrorKind::usage, "percentile ", options.percentile,
         ": expected a share in (0, 1], such as 0.99999");
  double clip = statistics.absmax();
  if (options.rule == ScaleRule::mse) clip = best_clip(statistics);
  if (options.rule == ScaleRule::percentile) clip = percentile(statistics, options.percentile);
  return stored_scale(clip / kSteps, options.rule, options.scale_bits);
}

float channel_scale(float absmax, int scale_bits) {
  return stored_scale(static_cast<double>(absmax) / kSteps, ScaleRule::max, scale_bits);
}

ClassScales choose_scales(const Observer& observer, const ScaleOptions& options) {
  ClassScales scales;
  for (std::size_t c = 0; c < kTokenClasses; ++c) {
    const ClassStatistics& statistics = observer.of(static_cast<TokenClass>(c));
    if (statistics.values() > 0) scales.scale[c] = choose_scale(statistics, options);
  }
  return scales;
}

}  // namespace mquant
