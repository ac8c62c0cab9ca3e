#include "io/convert.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "io/dtype.h"
#include "support/rng.h"
#include "tests/unit/io/tensors.h"

namespace mquant {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// What 16 bits mean, by the definition of the format and not by shifting bits.
double meaning(std::uint32_t bits, int mantissa_bits, int exponent_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = static_cast<int>(bits >> mantissa_bits) & ((1 << exponent_bits) - 1);
  const double mantissa = static_cast<double>(bits & ((1u << mantissa_bits) - 1));
  const double sign = (bits & 0x8000) != 0 ? -1 : 1;
  if (exponent == (1 << exponent_bits) - 1) {
    return mantissa == 0 ? sign * INFINITY : std::numeric_limits<double>::quiet_NaN();
  }
  const double whole = exponent == 0 ? mantissa : mantissa + std::ldexp(1.0, mantissa_bits);
  return sign * std::ldexp(whole, std::max(exponent, 1) - bias - mantissa_bits);
}

double f16_meaning(std::uint32_t bits) { return meaning(bits, 10, 5); }
double bf16_meaning(std::uint32_t bits) { return meaning(bits, 7, 8); }

/// Floats of every size, ties and neighbours of ties included.
std::vector<float> samples() {
  std::vector<float> values = {0.0f,         -0.0f,     1.0f,     65504.0f,        65519.996f, 65520.0f,
                               65536.0f,     0x1p-24f,  0x1p-25f, 0x1.000002p-25f, 0x1p-26f,   0x1p-14f,
                               0x1.ffcp-15f, 0x1p-149f, 3.4e38f,  -3.4028235e38f};
  Rng rng(7);
  while (values.size() < 200'000) {
    auto bits = static_cast<std::uint32_t>(rng.next());
    if (values.size() % 3 == 0) bits = (bits & 0xFFFF0000) | 0x8000;      // bf16 ties
    if (values.size() % 3 == 1) bits = (bits & 0x8FFFE000) | 0x30001000;  // near 1, f16 ties
    const auto value = std::bit_cast<float>(bits);
    if (!std::isnan(value)) values.push_back(value);
  }
  return values;
}

/// `got` is the nearest representable number to `value`, of two equally near ones the even one.
void expect_nearest(float value, std::uint16_t got, double (*meaning_of)(std::uint32_t), double beyond) {
  const std::uint16_t magnitude = got & 0x7FFF;
  EXPECT_EQ(std::signbit(value), (got & 0x8000) != 0) << value;
  const auto distance = [&](std::uint32_t bits) {
    const double number = meaning_of(bits);  // the step after the largest stands for infinity
    return std::abs((std::isinf(number) ? beyond : number) - std::abs(static_cast<double>(value)));
  };
  if (std::isinf(value)) {
    EXPECT_TRUE(std::isinf(meaning_of(magnitude)));
    return;
  }
  if (magnitude > 0) {
    EXPECT_LE(distance(magnitude), distance(magnitude - 1u)) << value;
    const bool tie = distance(magnitude) == distance(magnitude - 1u);
    EXPECT_TRUE(!tie || magnitude % 2 == 0) << value;
  }
  if (!std::isinf(meaning_of(magnitude))) {
    EXPECT_LE(distance(magnitude), distance(magnitude + 1u)) << value;
    const bool tie = distance(magnitude) == distance(magnitude + 1u);
    EXPECT_TRUE(!tie || magnitude % 2 == 0) << value;
  }
}

TEST(Convert, EverySixteenBitNumberMeansWhatItsFormatSays) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    if (std::isnan(f16_meaning(bits))) {
      EXPECT_TRUE(std::isnan(float_from_f16(half))) << bits;
      EXPECT_TRUE(std::isnan(f16_meaning(f16_from_float(float_from_f16(half))))) << bits;
    } else {
      EXPECT_EQ(static_cast<double>(float_from_f16(half)), f16_meaning(bits)) << bits;
      EXPECT_EQ(f16_from_float(float_from_f16(half)), half);
    }
    if (std::isnan(bf16_meaning(bits))) {
      EXPECT_TRUE(std::isnan(float_from_bf16(half))) << bits;
      EXPECT_TRUE(std::isnan(bf16_meaning(bf16_from_float(float_from_bf16(half))))) << bits;
    } else {
      EXPECT_EQ(static_cast<double>(float_from_bf16(half)), bf16_meaning(bits)) << bits;
      EXPECT_EQ(bf16_from_float(float_from_bf16(half)), half);
    }
  }
}

TEST(Convert, FloatsGoToTheNearestHalfToEven) {
  for (const float value : samples()) {
    expect_nearest(value, f16_from_float(value), f16_meaning, 65536.0);
    expect_nearest(value, bf16_from_float(value), bf16_meaning, std::ldexp(1.0, 128));
    EXPECT_EQ(std::bit_cast<std::uint32_t>(bfloat16_round(value)),
              std::uint32_t{bf16_from_float(value)} << 16);
  }
  EXPECT_EQ(f16_from_float(65519.996f), 0x7BFF);
  EXPECT_EQ(f16_from_float(65520.0f), 0x7C00);
  EXPECT_EQ(f16_from_float(-kInfinity), 0xFC00);
}

TEST(Convert, ANanWhoseUpperBitsAreZeroStaysOne) {
  const auto quiet = std::bit_cast<float>(0x7F800001u);
  EXPECT_TRUE(std::isnan(bfloat16_round(quiet)));
  EXPECT_TRUE(std::isnan(bfloat16_round_up(quiet)));
  EXPECT_TRUE(std::isnan(float_from_f16(f16_from_float(quiet))));
}

TEST(Convert, RoundingUpGivesTheSmallestBfloat16ThatCovers) {
  for (const float value : samples()) {
    if (value == 0) continue;
    const float up = bfloat16_round_up(value);
    EXPECT_EQ(std::bit_cast<std::uint32_t>(up) & 0xFFFF, 0U) << value;
    EXPECT_GE(up, value);
    // The bfloat16 before `up`: towards zero for a positive one, away from it for a negative one.
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(up);
    const auto before = std::bit_cast<float>(std::signbit(up) ? bits + 0x10000 : bits - 0x10000);
    EXPECT_LT(before, value) << up;
  }
  EXPECT_EQ(bfloat16_round_up(1.0f), 1.0f);
  EXPECT_EQ(bfloat16_round_up(1.0001f), 1.0078125f);
  EXPECT_EQ(bfloat16_round_up(-1.0001f), -1.0f);
  EXPECT_EQ(bfloat16_round_up(0x1p-149f), 0x1p-133f);  // the smallest bfloat16
  EXPECT_EQ(bfloat16_round_up(3.4e38f), kInfinity);
}

template <class T>
TensorView view_of(DType dtype, const std::vector<T>& values, std::vector<std::byte>& keep) {
  keep.assign(1, std::byte{0});  // one byte in front: nothing is aligned
  const auto bytes = std::as_bytes(std::span(values));
  keep.insert(keep.end(), bytes.begin(), bytes.end());
  return {dtype, {static_cast<std::int64_t>(values.size())}, std::span<const std::byte>(keep).subspan(1)};
}

TEST(Convert, ReadsEveryTypeFromUnalignedBytes) {
  std::vector<std::byte> keep;
  using Doubles = std::vector<double>;
  EXPECT_EQ(to_doubles(view_of<std::uint8_t>(DType::boolean, {0, 1, 200}, keep)), (Doubles{0, 1, 1}));
  EXPECT_EQ(to_doubles(view_of<std::uint8_t>(DType::u8, {0, 1, 255}, keep)), (Doubles{0, 1, 255}));
  EXPECT_EQ(to_doubles(view_of<std::int8_t>(DType::i8, {-128, 127}, keep)), (Doubles{-128, 127}));
  EXPECT_EQ(to_doubles(view_of<std::int16_t>(DType::i16, {-32768, 7}, keep)), (Doubles{-32768, 7}));
  EXPECT_EQ(to_doubles(view_of<std::int32_t>(DType::i32, {INT32_MIN, 7}, keep)), (Doubles{INT32_MIN, 7}));
  EXPECT_EQ(to_doubles(view_of<std::int64_t>(DType::i64, {-(1LL << 53), 7}, keep)), (Doubles{-0x1p53, 7}));
  EXPECT_EQ(to_doubles(view_of<std::uint16_t>(DType::f16, {0x3C00, 0xC000}, keep)), (Doubles{1, -2}));
  EXPECT_EQ(to_doubles(view_of<std::uint16_t>(DType::bf16, {0x3F80, 0xC000}, keep)), (Doubles{1, -2}));
  EXPECT_EQ(to_doubles(view_of<float>(DType::f32, {0.1f}, keep)), (Doubles{0.1f}));
  EXPECT_EQ(to_doubles(view_of<double>(DType::f64, {0.1}, keep)), (Doubles{0.1}));
  EXPECT_EQ(to_floats(view_of<double>(DType::f64, {0.1}, keep)), (std::vector<float>{0.1f}));
  EXPECT_TRUE(to_floats(TensorView{DType::f32, {0, 3}, {}}).empty());
}

TEST(Convert, WritesWhatItReads) {
  const std::vector<float> values = {0.0f, 1.5f, -2.0f, 0.25f};
  for (const DType dtype : {DType::f16, DType::bf16, DType::f32, DType::f64}) {
    const std::vector<std::byte> bytes = to_bytes(values, dtype);
    EXPECT_EQ(to_floats(TensorView{dtype, {2, 2}, bytes}), values) << dtype_name(dtype);
  }
  EXPECT_EQ(test::thrown([&] { to_bytes(values, DType::i8); }), "internal: to_bytes: I8 is no float type");
}

TEST(Convert, RefusesSizesThatDisagree) {
  std::vector<float> three(3);
  const std::vector<std::byte> bytes(8);
  const TensorView two{DType::f32, {2}, bytes};
  EXPECT_EQ(test::thrown([&] { to_floats(two, three); }), "internal: to_floats: 2 elements into 3");
  const TensorView torn{DType::f32, {3}, bytes};
  EXPECT_EQ(test::thrown([&] { to_floats(torn, three); }), "internal: to_floats: 8 bytes for 3 of F32");
}

TEST(DTypes, HaveTheNamesOfSafetensorsAndTheirSizes) {
  EXPECT_EQ(dtype_name(DType::bf16), "BF16");
  EXPECT_EQ(dtype_name(DType::boolean), "BOOL");
  EXPECT_EQ(byte_size(DType::i8), 1);
  EXPECT_EQ(byte_size(DType::f16), 2);
  EXPECT_EQ(byte_size(DType::i32), 4);
  EXPECT_EQ(byte_size(DType::f64), 8);
  EXPECT_EQ(find_file_type("BF16")->dtype, DType::bf16);
  EXPECT_FALSE(find_file_type("F8_E4M3")->dtype.has_value());
  EXPECT_EQ(find_file_type("bf16"), nullptr);
}

TEST(CheckedBits, RefusesWhatOverflowsEvenBesideAZero) {
  using Shape = std::vector<std::int64_t>;
  EXPECT_EQ(checked_bits(Shape{}, 32), 32);
  EXPECT_EQ(checked_bits(Shape{3, 0, 5}, 32), 0);
  EXPECT_EQ(checked_bits(Shape{INT64_MAX / 8}, 8), INT64_MAX / 8 * 8);
  EXPECT_EQ(checked_bits(Shape{INT64_MAX / 8 + 1}, 8), std::nullopt);
  EXPECT_EQ(checked_bits(Shape{0, INT64_MAX, 2}, 8), std::nullopt);
  EXPECT_EQ(checked_bits(Shape{-1}, 8), std::nullopt);
}

}  // namespace
}  // namespace mquant
