#include "kernels/gemm_packed.h"

#include <algorithm>

#include "kernels/cpu.h"
#include "kernels/gemm_packed_bodies.h"
#include "mquant/error.h"

namespace mquant {
namespace packed {
namespace {

/// Raw sums may pass 2^31 on the way; what is left without the offset never does.
[[gnu::always_inline]] inline std::int32_t wrapped_sum(std::int32_t a, std::int32_t b) {
  return static_cast<std::int32_t>(static_cast<std::uint32_t>(a) + static_cast<std::uint32_t>(b));
}

}  // namespace

void sums_portable(const PanelProblem& p) {
  std::fill_n(p.sums, p.rows * kPanelOutputs, 0);
  std::int32_t weights[kPanelOutputs][4];
  for (std::int64_t g = 0; g < p.groups; ++g)
    for (std::int64_t step = 0; step < 8; ++step) {
      const std::uint8_t* bytes = p.panel + g * p.planes * kPlaneBytes + step * 64;
      for (std::int64_t i = 0; i < 64; ++i) {
        const std::int64_t output = i / 32 * 16 + i % 32 / 4, high = p.planes == 2 ? bytes[kPlaneBytes + i] : 0;
        weights[output][i % 4] = static_cast<std::int32_t>((bytes[i] & 15) + 16 * (high & 15));
        weights[output + 8][i % 4] = static_cast<std::int32_t>((bytes[i] >> 4) + 16 * (high >> 4));
      }
      for (std::int64_t r = 0; r < p.rows; ++r) {
        const std::int8_t* a = p.a + r * p.stride() + g * kGroupInputs + step * 4;
        std::int32_t* sums = p.sums + r * kPanelOutputs;
        for (std::int64_t o = 0; o < kPanelOutputs; ++o)
          sums[o] = wrapped_sum(sums[o], a[0] * weights[o][0] + a[1] * weights[o][1] + a[2] * weights[o][2] +
                                             a[3] * weights[o][3]);
      }
    }
}

namespace {

using Sums = void (*)(const PanelProblem&);

Sums body() {
#if defined(__x86_64__)
  switch (cpu_level()) {
    case CpuLevel::avx512: return sums_avx512;
    case CpuLevel::avx2: return sums_avx2;
    case CpuLevel::portable: break;
  }
#endif
  return sums_portable;
}

/// One row of a panel to float32.  `outputs` is kPanelOutputs but in the last panel.
struct RowEpilogue {
  const std::int32_t* sums;
  std::int32_t taken_off;
  const double *scale, *split_x, *split_w;  // from the panel's first output on
  std::int64_t splits, split_stride;
  double row_scale;
  const float* bias;
  float* y;
};

[[gnu::always_inline]] inline void finish_row_body(const RowEpilogue& e, std::int64_t outputs) {
  double values[kPanelOutputs];
  for (std::int64_t o = 0; o < outputs; ++o)
    values[o] = static_cast<double>(wrapped_sum(e.sums[o], -e.taken_off)) * (e.row_scale * e.scale[o]);
  for (std::int64_t k = 0; k < e.splits; ++k)
    for (std::int64_t o = 0; o < outputs; ++o) values[o] += e.split_x[k] * e.split_w[k * e.split_stride + o];
  if (e.bias != nullptr)
    for (std::int64_t o = 0; o < outputs; ++o) values[o] += static_cast<double>(e.bias[o]);
  for (std::int64_t o = 0; o < outputs; ++o) e.y[o] = static_cast<float>(values[o]);
}

void finish_row_portable(const RowEpilogue& e, std::int64_t outputs) { finish_row_body(e, outputs); }

#if defined(__x86_64__)
[[gnu::target("avx2")]] void finish_row_avx2(const RowEpilogue& e, std::int64_t outputs) {
  if (outputs == kPanelOutputs)
    finish_row_body(e, kPanelOutputs);  // a loop of known length
  else
    finish_row_body(e, outputs);
}
#endif

void finish_panel(const CodeRows& a, const PackedWeight& w, std::int64_t panel, const Epilogue& e,
                  const std::int32_t* sums, float* y, std::int64_t stride) {
  auto* finish_row = finish_row_portable;
#if defined(__x86_64__)
  if (cpu_level() >= CpuLevel::avx2) finish_row = finish_row_avx2;
#endif
  const std::int64_t first = panel * kPanelOutputs, outputs = std::min(kPanelOutputs, w.out() - first);
  std::int64_t r = 0;
  for (const ScaleRun& run : e.runs)
    for (; r < run.end; ++r)
      finish_row({.sums = sums + r * kPanelOutputs,
                  .taken_off = w.offset() * a.sums[r],
                  .scale = run.scale + first,
                  .split_x = e.splits > 0 ? e.split_x + r * e.splits : nullptr,
                  .split_w = e.splits > 0 ? e.split_w + first : nullptr,
                  .splits = e.splits,
                  .split_stride = w.out(),
                  .row_scale = e.row_scale != nullptr ? e.row_scale[r] : 1.0,
                  .bias = e.bias != nullptr ? e.bias + first : nullptr,
                  .y = y + r * stride + first},
                 outputs);
}

PanelProblem problem(const CodeRows& a, const PackedWeight& w, std::int64_t panel, std::int32_t* sums,
                     GemmScratch& scratch) {
  return {.a = a.codes,
          .rows = a.rows,
          .panel = w.panel(panel),
          .groups = w.groups(),
          .planes = w.planes(),
          .sums = sums,
          .scratch = &scratch};
}

}  // namespace
}  // namespace packed

void gemm_packed(const CodeRows& a, const PackedWeight& w, std::int64_t panel_begin, std::int64_t panel_end,
                 const Epilogue& epilogue, float* y, std::int64_t stride, GemmScratch& scratch) {
  require(a.rows >= 0 && panel_begin >= 0 && panel_end <= w.panels() && stride >= w.out(), "gemm_packed: ",
          a.rows, " rows, panels ", panel_begin, " to ", panel_end, " of ", w.panels(), ", stride ", stride);
  require(a.rows == 0 || (!epilogue.runs.empty() && epilogue.runs.back().end == a.rows), "gemm_packed: ", a.rows,
          " rows in ", epilogue.runs.size(), " runs");
  const packed::Sums sums = packed::body();
  scratch.sums.resize(static_cast<std::size_t>(a.rows * kPanelOutputs));
  for (std::int64_t panel = panel_begin; panel < panel_end; ++panel) {
    sums(packed::problem(a, w, panel, scratch.sums.data(), scratch));
    packed::finish_panel(a, w, panel, epilogue, scratch.sums.data(), y, stride);
  }
}

void panel_sums(const CodeRows& a, const PackedWeight& w, std::int64_t panel, std::int32_t* sums,
                GemmScratch& scratch) {
  require(panel >= 0 && panel < w.panels(), "panel ", panel, " of ", w.panels());
  packed::body()(packed::problem(a, w, panel, sums, scratch));
  for (std::int64_t r = 0; r < a.rows; ++r)
    for (std::int64_t o = 0; o < kPanelOutputs; ++o) {
      std::int32_t& sum = sums[r * kPanelOutputs + o];
      sum = panel * kPanelOutputs + o < w.out() ? packed::wrapped_sum(sum, -w.offset() * a.sums[r]) : 0;
    }
}

}  // namespace mquant
