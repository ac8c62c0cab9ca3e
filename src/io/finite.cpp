#include "io/finite.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "io/convert.h"
#include "mquant/error.h"
#include "support/strings.h"

namespace mquant {
namespace {

constexpr std::size_t kPiece = 8192;  // elements looked at before the first is asked for

/// Are all exponent bits of the element set?
template <class Bits>
bool is_special(const std::byte* at, Bits exponent) {
  Bits bits;
  std::memcpy(&bits, at, sizeof bits);
  return (bits & exponent) == exponent;
}

template <class Bits>
std::optional<std::int64_t> first_special(const TensorView& view, Bits exponent) {
  const std::byte* const bytes = view.bytes.data();
  const std::size_t count = view.bytes.size() / sizeof(Bits);
  for (std::size_t begin = 0; begin < count; begin += kPiece) {
    const std::size_t end = std::min(count, begin + kPiece);
    unsigned any = 0;  // no early way out, so that many elements are looked at at once
    for (std::size_t i = begin; i < end; ++i)
      any |= static_cast<unsigned>(is_special(bytes + i * sizeof(Bits), exponent));
    for (std::size_t i = begin; any != 0 && i < end; ++i)
      if (is_special(bytes + i * sizeof(Bits), exponent)) return static_cast<std::int64_t>(i);
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::int64_t> first_non_finite(const TensorView& view) {
  switch (view.dtype) {
    case DType::f16: return first_special<std::uint16_t>(view, 0x7C00);
    case DType::bf16: return first_special<std::uint16_t>(view, 0x7F80);
    case DType::f32: return first_special<std::uint32_t>(view, 0x7F800000);
    case DType::f64: return first_special<std::uint64_t>(view, 0x7FF0000000000000);
    default: return std::nullopt;
  }
}

std::vector<std::int64_t> place_of(std::int64_t flat, const std::vector<std::int64_t>& shape) {
  std::vector<std::int64_t> place(shape.size());
  for (std::size_t axis = shape.size(); axis-- > 0; flat /= shape[axis]) place[axis] = flat % shape[axis];
  return place;
}

void expect_finite(const std::string& name, const TensorView& view) {
  const std::optional<std::int64_t> at = first_non_finite(view);
  if (!at) return;
  const auto size = static_cast<std::size_t>(byte_size(view.dtype));
  const TensorView one{view.dtype, {1}, view.bytes.subspan(static_cast<std::size_t>(*at) * size, size)};
  fail(ErrorKind::input, "tensor '", name, "' holds ", std::isnan(to_doubles(one)[0]) ? "NaN" : "an infinity",
       " at ", shape_text(place_of(*at, view.shape)),
       "; expected finite numbers: the download may be broken, or a fine-tune diverged");
}

}  // namespace mquant
