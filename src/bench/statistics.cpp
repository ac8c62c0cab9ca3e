// What is said of the samples of a benchmark: medians, ratios, rates.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "mquant/bench.h"

namespace mquant {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

const std::vector<PassSeconds>& passes_of(const VariantReport& variant, BenchPhase phase) {
  return phase == BenchPhase::prefill ? variant.prefill : variant.decode;
}

}  // namespace

std::string_view bench_variant_name(BenchVariant variant) {
  switch (variant) {
    case BenchVariant::float32: return "float32";
    case BenchVariant::bfloat16: return "bfloat16";
    case BenchVariant::dynamic: return "dynamic";
    case BenchVariant::one_static: return "static";
    case BenchVariant::gathered: return "msq";
    case BenchVariant::aifs: return "msq+aifs";
  }
  return "?";
}

std::string_view bench_stage_name(BenchStage stage) {
  switch (stage) {
    case BenchStage::linears: return "linears";
    case BenchStage::quantize: return "quantize";
    case BenchStage::hadamard: return "hadamard";
    case BenchStage::attention: return "attention";
    case BenchStage::rest: return "rest";
  }
  return "?";
}

double BenchSeconds::total() const { return std::accumulate(of.begin(), of.end(), 0.0); }

double median(std::vector<double> values) {
  if (values.empty()) return kNone;
  std::ranges::sort(values);
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

PassSeconds median_pass(const std::vector<PassSeconds>& passes) {
  if (passes.empty()) return {};
  std::vector<PassSeconds> sorted = passes;
  std::ranges::stable_sort(sorted, {}, &PassSeconds::total);
  return sorted[(sorted.size() - 1) / 2];
}

double median_seconds(const VariantReport& variant, BenchPhase phase) {
  std::vector<double> totals;
  for (const PassSeconds& pass : passes_of(variant, phase)) totals.push_back(pass.total());
  return median(totals);
}

const VariantReport* fastest_float(const BenchReport& report, BenchPhase phase) {
  const VariantReport* fastest = nullptr;
  for (const VariantReport& variant : report.variants) {
    const bool is_float =
        variant.variant == BenchVariant::float32 || variant.variant == BenchVariant::bfloat16;
    if (!is_float || passes_of(variant, phase).empty()) continue;
    if (fastest == nullptr || median_seconds(variant, phase) < median_seconds(*fastest, phase))
      fastest = &variant;
  }
  return fastest;
}

double speedup(const VariantReport& variant, const VariantReport* than, BenchPhase phase) {
  return than == nullptr ? kNone : median_seconds(*than, phase) / median_seconds(variant, phase);
}

KernelReport all_linears(const std::vector<KernelReport>& kernels, BenchPhase phase) {
  KernelReport all{.linear = "all", .phase = phase};
  for (const KernelReport& kernel : kernels) {
    if (kernel.phase != phase) continue;
    const auto count = static_cast<double>(kernel.linears);
    all.linears += kernel.linears;
    all.seconds += count * kernel.seconds;
    all.library_seconds += count * kernel.library_seconds;
    all.operations += count * kernel.operations;
    all.executed += count * kernel.executed;
    all.bytes += count * kernel.bytes;
  }
  return all;
}

double tokens_a_second(const BenchReport& report, const VariantReport& variant, BenchPhase phase) {
  const BenchReport::Workload& work = report.workload;
  const std::int64_t tokens =
      phase == BenchPhase::prefill ? work.text_tokens + work.visual_tokens : work.decode_tokens;
  return static_cast<double>(work.batch * tokens) / median_seconds(variant, phase);
}

}  // namespace mquant
