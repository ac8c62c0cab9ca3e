#include "io/convert.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "mquant/error.h"

namespace mquant {
namespace {

static_assert(std::endian::native == std::endian::little, "files are little-endian and are read in place");

template <class T>
T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof(T));  // files promise no alignment
  return value;
}

/// out[i] = convert(element i), elements of type T.
template <class T, class Out, class Convert>
void convert_all(const TensorView& view, std::span<Out> out, Convert convert) {
  const std::byte* from = view.bytes.data();
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = static_cast<Out>(convert(load<T>(from + i * sizeof(T))));
}

template <class T, class Out>
void cast_all(const TensorView& view, std::span<Out> out) {
  convert_all<T>(view, out, [](T value) { return static_cast<Out>(value); });
}

template <class Out>
void convert_view(const TensorView& view, std::span<Out> out) {
  require(view.numel() == static_cast<std::int64_t>(out.size()), "to_floats: ", view.numel(),
          " elements into ", out.size());
  require(view.bytes.size() == out.size() * static_cast<std::size_t>(byte_size(view.dtype)),
          "to_floats: ", view.bytes.size(), " bytes for ", out.size(), " of ", dtype_name(view.dtype));
  switch (view.dtype) {
    case DType::boolean:
      return convert_all<std::uint8_t>(view, out, [](std::uint8_t value) { return value != 0; });
    case DType::u8: return cast_all<std::uint8_t>(view, out);
    case DType::i8: return cast_all<std::int8_t>(view, out);
    case DType::i16: return cast_all<std::int16_t>(view, out);
    case DType::i32: return cast_all<std::int32_t>(view, out);
    case DType::i64: return cast_all<std::int64_t>(view, out);
    case DType::f16: return convert_all<std::uint16_t>(view, out, float_from_f16);
    case DType::bf16: return convert_all<std::uint16_t>(view, out, float_from_bf16);
    case DType::f32: return cast_all<float>(view, out);
    case DType::f64: return cast_all<double>(view, out);
  }
  fail(ErrorKind::internal, "to_floats: no such dtype: ", static_cast<int>(view.dtype));
}

template <class T, class Convert>
std::vector<std::byte> stored(std::span<const float> values, Convert convert) {
  std::vector<std::byte> bytes(values.size() * sizeof(T));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const T value = convert(values[i]);
    std::memcpy(bytes.data() + i * sizeof(T), &value, sizeof(T));
  }
  return bytes;
}

/// `value >> shift`, rounded half to even.
std::uint32_t shift_round_even(std::uint32_t value, int shift) {
  const std::uint32_t half = std::uint32_t{1} << (shift - 1);
  const std::uint32_t rest = value & (2 * half - 1);
  const std::uint32_t kept = value >> shift;
  return kept + ((rest > half || (rest == half && (kept & 1) != 0)) ? 1 : 0);
}

}  // namespace

float float_from_bf16(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

float float_from_f16(std::uint16_t bits) {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000) << 16;
  const std::uint32_t exponent = (bits >> 10) & 0x1F, mantissa = bits & 0x3FF;
  if (exponent == 0) {  // zero or subnormal: mantissa * 2^-24
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(magnitude));
  }
  const std::uint32_t wide = exponent == 0x1F ? 0xFF : exponent + (127 - 15);  // infinity and NaN stay
  return std::bit_cast<float>(sign | (wide << 23) | (mantissa << 13));
}

std::uint16_t bf16_from_float(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (std::isnan(value))
    return static_cast<std::uint16_t>((bits >> 16) | 0x40);  // quiet, never rounded to infinity
  // Half a unit, less one bit for an even number: a tie carries only from an odd one.  May carry up to infinity.
  return static_cast<std::uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

std::uint16_t f16_from_float(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000);
  const std::uint32_t magnitude = bits & 0x7FFFFFFF;
  if (std::isnan(value)) return static_cast<std::uint16_t>(sign | 0x7E00 | ((magnitude >> 13) & 0x3FF));
  if (magnitude >= 0x47800000) return static_cast<std::uint16_t>(sign | 0x7C00);  // 65536 and above
  if (magnitude >= 0x38800000) {                                                  // 2^-14: normal in 16 bits
    return static_cast<std::uint16_t>(sign |
                                      shift_round_even(magnitude - (std::uint32_t{127 - 15} << 23), 13));
  }
  if (magnitude < 0x33000000) return sign;  // below 2^-25: zero
  const int shift =
      126 - static_cast<int>(magnitude >> 23);  // of the 24-bit mantissa, so that the unit is 2^-24
  return static_cast<std::uint16_t>(sign | shift_round_even((magnitude & 0x7FFFFF) | 0x800000, shift));
}

float bfloat16_round(float value) { return float_from_bf16(bf16_from_float(value)); }

float bfloat16_round_up(float value) {
  if (std::isnan(value)) return value;
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t toward_zero = bits & 0xFFFF0000;  // of a negative number: the next one above
  const bool up = (bits & 0xFFFF) != 0 && (bits & 0x80000000) == 0;
  return std::bit_cast<float>(up ? toward_zero + 0x10000 : toward_zero);
}

void to_floats(const TensorView& view, std::span<float> out) { convert_view(view, out); }

void to_doubles(const TensorView& view, std::span<double> out) { convert_view(view, out); }

std::vector<float> to_floats(const TensorView& view) {
  std::vector<float> out(static_cast<std::size_t>(view.numel()));
  to_floats(view, out);
  return out;
}

std::vector<double> to_doubles(const TensorView& view) {
  std::vector<double> out(static_cast<std::size_t>(view.numel()));
  to_doubles(view, out);
  return out;
}

std::vector<std::byte> to_bytes(std::span<const float> values, DType dtype) {
  switch (dtype) {
    case DType::bf16: return stored<std::uint16_t>(values, bf16_from_float);
    case DType::f16: return stored<std::uint16_t>(values, f16_from_float);
    case DType::f32: return stored<float>(values, [](float value) { return value; });
    case DType::f64: return stored<double>(values, [](float value) { return static_cast<double>(value); });
    default: fail(ErrorKind::internal, "to_bytes: ", dtype_name(dtype), " is no float type");
  }
}

}  // namespace mquant
