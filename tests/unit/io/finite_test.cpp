#include "io/finite.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "io/convert.h"
#include "mquant/error.h"

namespace mquant {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN(),
                kInfinity = std::numeric_limits<float>::infinity();
constexpr DType kFloats[] = {DType::f16, DType::bf16, DType::f32, DType::f64};

/// Bytes of [rows, columns] with `value` in one place and the largest finite number of the type everywhere else.
std::vector<std::byte> with(float value, std::size_t at, std::size_t count, DType dtype) {
  std::vector<float> values(count, dtype == DType::f16 ? -65504.0F : 3.3e38F);
  values[at] = value;
  return to_bytes(values, dtype);
}

TEST(Finite, FindsANaNAndAnInfinityWhereverTheyAre) {
  constexpr std::int64_t kRows = 101, kColumns = 257;  // several pieces, the last one not full
  constexpr std::size_t kCount = kRows * kColumns;
  for (const DType dtype : kFloats)
    for (const std::size_t at : {std::size_t{0}, std::size_t{8191}, std::size_t{8192}, kCount - 1})
      for (const float value : {kNaN, -kNaN, kInfinity, -kInfinity}) {
        const std::vector<std::byte> bytes = with(value, at, kCount, dtype);
        EXPECT_EQ(first_non_finite({dtype, {kRows, kColumns}, bytes}), static_cast<std::int64_t>(at))
            << dtype_name(dtype) << " " << value;
      }
}

TEST(Finite, TheLargestFiniteNumbersAreFine) {
  for (const DType dtype : kFloats) {
    const std::vector<std::byte> bytes = with(-0.0F, 3, 20000, dtype);
    EXPECT_EQ(first_non_finite({dtype, {20000}, bytes}), std::nullopt) << dtype_name(dtype);
  }
  const std::vector<std::byte> ones(64, std::byte{0xFF});  // all bits set: a NaN in no integer
  EXPECT_EQ(first_non_finite({DType::i16, {32}, ones}), std::nullopt);
  EXPECT_EQ(first_non_finite({DType::f32, {0, 5}, {}}), std::nullopt);
}

TEST(Finite, TheMessageNamesTensorValueAndPlace) {
  const std::vector<std::byte> bytes = with(kInfinity, 3 * 7 + 5, 70, DType::bf16);
  try {
    expect_finite("lm_head.weight", {DType::bf16, {10, 7}, bytes});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::input);
    EXPECT_EQ(std::string(error.what()).find("tensor 'lm_head.weight' holds an infinity at [3, 5]"), 0U)
        << error.what();
  }
}

}  // namespace
}  // namespace mquant
