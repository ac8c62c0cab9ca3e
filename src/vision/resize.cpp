#include "vision/resize.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <numbers>
#include <span>
#include <type_traits>
#include <vector>

#include "mquant/error.h"
#include "vision/decode.h"

namespace mquant {
namespace {

/// Fixed point: 8 bits for a pixel, 2 for weights that overshoot, the rest for the fraction of a weight.
constexpr int kFractionBits = 22;
constexpr double kOne = 1 << kFractionBits;
constexpr std::uint32_t kHalf = std::uint32_t{1} << (kFractionBits - 1);

double bilinear(double x) {
  x = std::abs(x);
  return x < 1 ? 1 - x : 0;
}

/// Keys's kernel with a = -0.5, in the order of operations that Pillow uses: the last bit counts.
double bicubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

double sinc(double x) {
  if (x == 0) return 1;
  x *= std::numbers::pi;
  return std::sin(x) / x;
}

double lanczos(double x) { return -3 <= x && x < 3 ? sinc(x) * sinc(x / 3) : 0; }

struct Kernel {
  double (*weight)(double);
  double support;  // zero from here on, at scale 1
};

Kernel kernel_of(ResizeFilter filter) {
  switch (filter) {
    case ResizeFilter::bilinear: return {bilinear, 1};
    case ResizeFilter::bicubic: return {bicubic, 2};
    case ResizeFilter::lanczos: return {lanczos, 3};
  }
  fail(ErrorKind::internal, "resize: no such filter");
}

/// For each pixel of one axis of the result: which source pixels it sums, with which weights.
struct Taps {
  std::vector<std::size_t> first;   // [n] index of the first source pixel
  std::vector<std::size_t> offset;  // [n + 1] where its weights begin
  std::vector<std::uint32_t>
      weights;  // fixed point, two's complement: sums wrap as int32 would, without its overflow

  std::size_t size() const { return first.size(); }
};

std::uint32_t to_fixed_point(double weight) {
  const double scaled = weight * kOne;
  return static_cast<std::uint32_t>(static_cast<std::int32_t>(scaled < 0 ? scaled - 0.5 : scaled + 0.5));
}

/// Weights for `out` pixels sampled from [from, to) of `in` source pixels.
Taps make_taps(std::int64_t in, float from, float to, std::int64_t out, const Kernel& kernel) {
  const double scale = static_cast<double>(to - from) / static_cast<double>(out);
  const double stretch = std::max(scale, 1.0);  // shrinking widens the kernel, enlarging does not narrow it
  const double support = kernel.support * stretch, shrink = 1 / stretch;
  Taps taps;
  taps.offset.push_back(0);
  std::vector<double> window;
  for (std::int64_t i = 0; i < out; ++i) {
    const double center = from + (static_cast<double>(i) + 0.5) * scale;
    const auto begin = std::max<std::int64_t>(0, static_cast<std::int64_t>(center - support + 0.5));
    const auto end = std::min(in, static_cast<std::int64_t>(center + support + 0.5));
    window.clear();
    double sum = 0;
    for (std::int64_t x = begin; x < end; ++x) {
      window.push_back(kernel.weight((static_cast<double>(x) - center + 0.5) * shrink));
      sum += window.back();
    }
    for (const double weight : window)
      taps.weights.push_back(to_fixed_point(sum != 0 ? weight / sum : weight));
    taps.first.push_back(static_cast<std::size_t>(begin));
    taps.offset.push_back(taps.weights.size());
  }
  return taps;
}

std::uint8_t to_pixel(std::uint32_t sum) {
  return static_cast<std::uint8_t>(std::clamp(static_cast<std::int32_t>(sum) >> kFractionBits, 0, 255));
}

/// Resamples every row of [begin_row, end_row) to taps.size() pixels.
Image horizontal_pass(const Image& in, const Taps& taps, std::size_t begin_row, std::size_t end_row) {
  const auto in_stride = static_cast<std::size_t>(in.width) * 3;
  Image out{static_cast<std::int64_t>(taps.size()), static_cast<std::int64_t>(end_row - begin_row), {}};
  out.rgb.resize(taps.size() * (end_row - begin_row) * 3);
  std::uint8_t* to = out.rgb.data();
  for (std::size_t y = begin_row; y < end_row; ++y)
    for (std::size_t i = 0; i < taps.size(); ++i, to += 3) {
      const std::uint8_t* from = in.rgb.data() + y * in_stride + taps.first[i] * 3;
      std::uint32_t red = kHalf, green = kHalf, blue = kHalf;
      for (std::size_t t = taps.offset[i]; t < taps.offset[i + 1]; ++t, from += 3) {
        red += from[0] * taps.weights[t];
        green += from[1] * taps.weights[t];
        blue += from[2] * taps.weights[t];
      }
      to[0] = to_pixel(red), to[1] = to_pixel(green), to[2] = to_pixel(blue);
    }
  return out;
}

/// One stretch of columns of one output row; `sums` stays in the nearest cache.
template <class Count>
void sum_rows(const std::uint8_t* from, std::size_t stride, std::span<const std::uint32_t> weights,
              Count count, std::uint8_t* to) {
  std::array<std::uint32_t, 256> sums;
  for (std::size_t i = 0; i < count; ++i) sums[i] = kHalf;
  for (const std::uint32_t weight : weights) {
    for (std::size_t i = 0; i < count; ++i) sums[i] += from[i] * weight;
    from += stride;
  }
  for (std::size_t i = 0; i < count; ++i) to[i] = to_pixel(sums[i]);
}

/// Resamples every column to taps.size() pixels; row 0 of `in` is row `first_row` of what taps refer to.
Image vertical_pass(const Image& in, const Taps& taps, std::size_t first_row) {
  constexpr std::integral_constant<std::size_t, 256> kStretch;
  const auto stride = static_cast<std::size_t>(in.width) * 3;
  Image out{in.width, static_cast<std::int64_t>(taps.size()), {}};
  out.rgb.resize(taps.size() * stride);
  for (std::size_t y = 0; y < taps.size(); ++y) {
    const std::uint8_t* from = in.rgb.data() + (taps.first[y] - first_row) * stride;
    const std::span weights(taps.weights.data() + taps.offset[y], taps.offset[y + 1] - taps.offset[y]);
    std::uint8_t* to = out.rgb.data() + y * stride;
    std::size_t x = 0;
    for (; x + kStretch <= stride; x += kStretch) sum_rows(from + x, stride, weights, kStretch, to + x);
    sum_rows(from + x, stride, weights, stride - x, to + x);
  }
  return out;
}

SampleBox checked_box(const Image& image, ImageSize size, const ResizeOptions& options) {
  require(image.width > 0 && image.height > 0 &&
              image.rgb.size() ==
                  3 * static_cast<std::size_t>(image.width) * static_cast<std::size_t>(image.height),
          "resize: ", image.rgb.size(), " bytes are no picture of ", image.width, " x ", image.height);
  if (size.width <= 0 || size.height <= 0 || size.width > kMaxPixels / size.height)
    fail(ErrorKind::input, "cannot resize a picture of ", image.width, " x ", image.height, " to ",
         size.width, " x ", size.height, ": expected 1 to ", kMaxPixels,
         " pixels; is the picture far too long and narrow?");
  const auto width = static_cast<float>(image.width), height = static_cast<float>(image.height);
  const SampleBox box = options.box.value_or(SampleBox{0, 0, width, height});
  const bool inside = box.left >= 0 && box.top >= 0 && box.right <= width && box.bottom <= height &&
                      box.left < box.right && box.top < box.bottom;
  if (!inside)
    fail(ErrorKind::input, "cannot resize from (", box.left, ", ", box.top, ", ", box.right, ", ", box.bottom,
         "): not a part of a picture of ", image.width, " x ", image.height);
  return box;
}

bool rows_first(const Image& image, ImageSize size, PassOrder order) {
  const std::int64_t less_height = image.height - size.height, less_width = image.width - size.width;
  return order == PassOrder::pillow_13 && less_height > 0 && less_height > 2 * less_width;
}

}  // namespace

Image resize(const Image& image, ImageSize size, const ResizeOptions& options) {
  const SampleBox box = checked_box(image, size, options);
  const Kernel kernel = kernel_of(options.filter);
  const bool across =
      size.width != image.width || box.left != 0 || box.right != static_cast<float>(size.width);
  const bool down =
      size.height != image.height || box.top != 0 || box.bottom != static_cast<float>(size.height);
  if (!across && !down) return image;

  const Taps columns = across ? make_taps(image.width, box.left, box.right, size.width, kernel) : Taps{};
  if (!down) return horizontal_pass(image, columns, 0, static_cast<std::size_t>(image.height));
  const Taps rows = make_taps(image.height, box.top, box.bottom, size.height, kernel);
  if (!across) return vertical_pass(image, rows, 0);
  if (rows_first(image, size, options.order))
    return horizontal_pass(vertical_pass(image, rows, 0), columns, 0, static_cast<std::size_t>(size.height));
  // Only the rows that the second pass will read.
  const std::size_t begin = rows.first.front();
  const std::size_t end = rows.first.back() + rows.offset.back() - rows.offset[rows.size() - 1];
  return vertical_pass(horizontal_pass(image, columns, begin, end), rows, begin);
}

}  // namespace mquant
