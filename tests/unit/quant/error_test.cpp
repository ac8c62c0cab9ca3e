#include "quant/error.h"

#include <gtest/gtest.h>

#include <cmath>

#include "mquant/error.h"
#include "quant/round_to_nearest.h"
#include "tests/unit/quant/layers.h"

namespace mquant {
namespace {

TEST(Sqnr, IsTenTimesTheLogOfTheRatioOfPowers) {
  EXPECT_DOUBLE_EQ(sqnr_db(100.0, 1.0), 20.0);
  EXPECT_TRUE(std::isinf(sqnr_db(1.0, 0.0)));
  const at::Tensor x = test::random_matrix(5, 40, 1);
  EXPECT_NEAR(sqnr_db(x, x * 0.9), 20.0, 1e-4);
  EXPECT_NEAR(sqnr_db(x.reshape({5, 4, 10}).to(at::kDouble), (x * 1.01).reshape({5, 4, 10})), 40.0, 1e-3);
  EXPECT_THROW(sqnr_db(x, x.t()), Error);
}

TEST(Sqnr, OfWeightsGrowsBySixDbABit) {
  const at::Tensor W = test::random_matrix(20, 300, 3);
  const double four = weight_sqnr_db(W, round_to_nearest(W, test::kInt4, {})),
               eight = weight_sqnr_db(W, round_to_nearest(W, test::kInt8, {}));
  EXPECT_NEAR(eight - four, 6.02 * std::log2(127.0 / 7.5), 1.5);
  EXPECT_GT(four, 15.0);
}

}  // namespace
}  // namespace mquant
