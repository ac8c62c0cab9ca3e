#include "kernels/quantize_rows.h"

#include <algorithm>
#include <cmath>

#include "kernels/cpu.h"
#include "mquant/error.h"

namespace mquant {
namespace {

/// Adding and taking away 1.5 * 2^23 leaves the nearest integer, ties to even, for |x| < 2^22.
constexpr float kRounder = 12582912.0F;

/// A value is finite just if x - x is 0.
[[gnu::always_inline]] inline RowCodes quantize_row_body(const float* x, std::int64_t columns, float scale,
                                                         std::int8_t* codes) {
  int bad = 0;
  std::int32_t sum = 0;
  for (std::int64_t i = 0; i < columns; ++i) {
    float q = x[i] / scale;
    bad |= static_cast<int>(x[i] - x[i] != 0.0F);
    q = q < 127.0F ? q : 127.0F;
    q = q > -127.0F ? q : -127.0F;
    const int code = static_cast<int>((q + kRounder) - kRounder);
    sum += code;
    codes[i] = static_cast<std::int8_t>(code);
  }
  return {sum, bad == 0};
}

/// A NaN compares false and is passed over; quantize_row reports it.
[[gnu::always_inline]] inline float largest_magnitude_body(const float* x, std::int64_t columns) {
  float largest = 0;
  for (std::int64_t i = 0; i < columns; ++i) {
    const float magnitude = std::fabs(x[i]);
    largest = magnitude > largest ? magnitude : largest;
  }
  return largest;
}

RowCodes quantize_row_portable(const float* x, std::int64_t columns, float scale, std::int8_t* codes) {
  return quantize_row_body(x, columns, scale, codes);
}
float largest_magnitude_portable(const float* x, std::int64_t columns) {
  return largest_magnitude_body(x, columns);
}

#if defined(__x86_64__)
[[gnu::target("avx2")]] RowCodes quantize_row_avx2(const float* x, std::int64_t columns, float scale,
                                                   std::int8_t* codes) {
  return quantize_row_body(x, columns, scale, codes);
}
[[gnu::target("avx2")]] float largest_magnitude_avx2(const float* x, std::int64_t columns) {
  return largest_magnitude_body(x, columns);
}
#endif

}  // namespace

RowCodes quantize_row(const float* x, std::int64_t columns, float scale, std::int8_t* codes) {
#if defined(__x86_64__)
  if (cpu_level() >= CpuLevel::avx2) return quantize_row_avx2(x, columns, scale, codes);
#endif
  return quantize_row_portable(x, columns, scale, codes);
}

float dynamic_scale(const float* x, std::int64_t columns) {
  auto* largest_magnitude = largest_magnitude_portable;
#if defined(__x86_64__)
  if (cpu_level() >= CpuLevel::avx2) largest_magnitude = largest_magnitude_avx2;
#endif
  const float largest = largest_magnitude(x, columns);
  return largest > 0.0F && std::isfinite(largest) ? largest / 127.0F : 1.0F;
}

void quantize_rows(const float* x, std::int64_t rows, std::int64_t columns, std::int64_t stride,
                   std::span<const float> scales, std::int8_t* codes) {
  require(rows >= 0 && columns >= 0 && std::ssize(scales) == rows, "quantize_rows: ", scales.size(),
          " scales for ", rows, " rows");
  for (std::int64_t r = 0; r < rows; ++r) {
    const float scale = scales[static_cast<std::size_t>(r)];
    if (!(scale > 0.0F) || !std::isfinite(scale))
      fail(ErrorKind::input, "row ", r, " has the activation scale ", scale, "; expected a positive number");
    const float* row = x + r * stride;
    if (quantize_row(row, columns, scale, codes + r * columns).finite) continue;
    const auto at = std::find_if(row, row + columns, [](float v) { return !std::isfinite(v); }) - row;
    fail(ErrorKind::input, "activation in row ", r, ", column ", at, " is ", row[at],
         "; expected a finite number");
  }
}

}  // namespace mquant
