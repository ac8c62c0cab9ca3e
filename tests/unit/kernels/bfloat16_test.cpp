#include "kernels/bfloat16.h"

#include <gtest/gtest.h>

#include <cmath>

namespace mquant {
namespace {

TEST(Bfloat16, NearestRoundsTiesToEven) {
  EXPECT_EQ(round_to_bfloat16(1.0F), 1.0F);
  EXPECT_EQ(round_to_bfloat16(1.0F + 0x1p-8F), 1.0F);                    // a tie, 1.0 is even
  EXPECT_EQ(round_to_bfloat16(1.0F + 3 * 0x1p-8F), 1.0F + 4 * 0x1p-8F);  // a tie, up to even
  EXPECT_EQ(round_to_bfloat16(-1.0F - 0x1p-8F - 0x1p-20F), -1.0F - 0x1p-7F);
}

TEST(Bfloat16, UpIsTheLeastThatIsNotBelow) {
  for (const float x : {0.0F, 1.0F, 1.0F + 0x1p-23F, 0.3F, 3e-12F, 123456.0F, 1e30F}) {
    const float up = round_up_to_bfloat16(x);
    EXPECT_GE(up, x);
    EXPECT_EQ(round_to_bfloat16(up), up);
    EXPECT_LE(up, x * (1 + 0x1p-7F));
  }
  EXPECT_EQ(round_up_to_bfloat16(1.5F), 1.5F);
}

}  // namespace
}  // namespace mquant
