#include "quant/hessian.h"

#include <gtest/gtest.h>

#include "kernels/cpu.h"
#include "mquant/error.h"
#include "quant/cholesky.h"
#include "tests/unit/quant/layers.h"

namespace mquant {
namespace {

at::Tensor hessian_of(const at::Tensor& X, std::int64_t rows_a_call) {
  HessianAccumulator hessian(X.size(1));
  for (std::int64_t r = 0; r < X.size(0); r += rows_a_call)
    hessian.add(X.narrow(0, r, std::min(rows_a_call, X.size(0) - r)));
  EXPECT_EQ(hessian.rows(), X.size(0));
  return hessian.take();
}

TEST(Hessian, IsTheSecondMoment) {
  for (const std::int64_t width : {1, 7, 64, 300}) {
    const at::Tensor X = test::random_matrix(700, width, 1), x = X.to(at::kDouble);
    const at::Tensor expected = x.t().matmul(x), got = hessian_of(X, 700);
    EXPECT_LT((got - expected).abs().max().item<double>(), 5e-5 * 700);
    EXPECT_TRUE(got.equal(got.t()));
  }
}

TEST(Hessian, BytesDoNotDependOnCallsThreadsOrProcessor) {
  const at::Tensor X = test::random_matrix(1300, 210, 2);
  const at::Tensor expected = test::with_threads(1, [&] { return hessian_of(X, 1300); });
  for (const std::int64_t rows : {1, 100, 512, 513})
    EXPECT_TRUE(test::with_threads(3, [&] { return hessian_of(X, rows); }).equal(expected)) << rows;
  set_cpu_level(CpuLevel::portable);
  EXPECT_TRUE(hessian_of(X, 600).equal(expected));
  set_cpu_level(best_cpu_level());
}

TEST(Hessian, WeightOfARowIsHowOftenItCounts) {
  const at::Tensor X = test::random_matrix(4, 10, 3);
  HessianAccumulator weighted(10), repeated(10);
  weighted.add(X, std::vector<float>{1, 4, 0, 1});
  for (const std::int64_t row : {0, 1, 1, 1, 1, 3}) repeated.add(X.narrow(0, row, 1));
  EXPECT_LT((weighted.take() - repeated.take()).abs().max().item<float>(), 1e-5F);
}

TEST(Hessian, InputOfOtherWidthIsOurBug) {
  HessianAccumulator hessian(10);
  EXPECT_THROW(hessian.add(test::random_matrix(2, 9, 4)), Error);
}

TEST(Cholesky, FactorTimesItsTransposeIsTheMatrix) {
  for (const std::int64_t n : {1, 5, 64, 65, 200, 389}) {
    const at::Tensor X = test::random_matrix(2 * n + 5, n, 5), H = hessian_of(X, 1000);
    at::Tensor a = H.clone();
    ASSERT_TRUE(cholesky_in_place(a.data_ptr<float>(), n));
    const at::Tensor lower = a.tril().to(at::kDouble);
    EXPECT_LT((lower.matmul(lower.t()) - H).abs().max().item<double>(),
              1e-5 * H.diagonal().max().item<double>());
    EXPECT_TRUE(a.triu(1).equal(H.triu(1))) << "the upper triangle was touched";
  }
}

TEST(Cholesky, BytesDoNotDependOnThreadsOrProcessor) {
  const at::Tensor H = hessian_of(test::random_matrix(900, 450, 6), 900);
  const auto factor = [&] {
    at::Tensor a = H.clone();
    EXPECT_TRUE(cholesky_in_place(a.data_ptr<float>(), 450));
    return a;
  };
  const at::Tensor expected = test::with_threads(1, factor);
  EXPECT_TRUE(test::with_threads(4, factor).equal(expected));
  set_cpu_level(CpuLevel::portable);
  EXPECT_TRUE(factor().equal(expected));
  set_cpu_level(best_cpu_level());
}

TEST(Cholesky, MatrixThatIsNotPositiveIsToldApart) {
  at::Tensor H = hessian_of(test::random_matrix(300, 100, 7), 300);
  H.select(0, 70).select(0, 70).fill_(-1.0F);
  EXPECT_FALSE(cholesky_in_place(H.data_ptr<float>(), 100));
}

}  // namespace
}  // namespace mquant
