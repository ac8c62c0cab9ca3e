// What an evaluation must reach.
#include "eval/bounds.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "mquant/error.h"

namespace mquant::test {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

EvalReport report_of(std::int64_t samples, std::int64_t exact, double perplexity) {
  EvalReport report;
  report.all = {samples, exact};
  report.answer_tokens = 2 * samples;
  report.perplexity = perplexity;
  report.agreement["text"] = {10, 0.123, 1};
  report.agreement["visual"] = {10, 0.02, 1};
  report.agreement["sink"] = {1, 7, 0};
  return report;
}

std::vector<std::string> missed(const EvalBounds& bounds, const EvalReport& report) {
  std::vector<std::string> names;
  for (const BoundResult& result : judge(bounds, report))
    if (!result.met) names.push_back(result.bound);
  return names;
}

Error failure(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return error;
  }
  return {ErrorKind::internal, "done"};
}

std::string message_of(const EvalBounds& bounds, EvalReport report) {
  report.bounds = judge(bounds, report);
  const Error error = failure([&] { expect_bounds(report); });
  EXPECT_EQ(error.kind(), ErrorKind::verification) << error.what();
  return error.what();
}

TEST(Bounds, AreMetAtTheirLimits) {
  const EvalBounds bounds{.min_exact = 71, .max_perplexity = 1.5, .max_kl = 0.123};
  EXPECT_THAT(missed(bounds, report_of(100, 71, 1.5)), testing::IsEmpty());
  EvalReport report = report_of(100, 71, 1.5);
  report.bounds = judge(bounds, report);
  expect_bounds(report);
}

TEST(Bounds, OfKlDoNotCountSinksUnlessNamed) {
  EXPECT_THAT(missed({.max_kl = 0.2}, report_of(1, 1, 1)), testing::IsEmpty());
  EXPECT_THAT(missed({.max_kl_of = {{TokenClass::sink, 0.2}}}, report_of(1, 1, 1)),
              testing::ElementsAre("max_kl.sink"));
}

TEST(Bounds, OfOneClassTakeThePlaceOfTheGeneralOne) {
  const EvalBounds bounds{.max_kl = 0.01, .max_kl_of = {{TokenClass::text, 0.2}}};
  const std::vector<BoundResult> results = judge(bounds, report_of(1, 1, 1));
  ASSERT_EQ(results.size(), 2U);
  EXPECT_EQ(results[0].bound, "max_kl.text");
  EXPECT_EQ(results[0].limit, 0.2);
  EXPECT_TRUE(results[0].met);
  EXPECT_EQ(results[1].bound, "max_kl.visual");
  EXPECT_EQ(results[1].limit, 0.01);
  EXPECT_FALSE(results[1].met);
}

TEST(Bounds, AreMissedByNanAndWhatWasNotMeasured) {
  EvalReport report = report_of(10, 10, kNan);
  report.agreement["text"].kl = kNan;
  EXPECT_THAT(missed({.min_exact = 0, .max_perplexity = 1e300, .max_kl = 1e300}, report),
              testing::ElementsAre("max_perplexity", "max_kl.text"));
  EXPECT_THAT(missed({.min_exact = 0, .max_perplexity = 9}, EvalReport()),
              testing::ElementsAre("min_exact", "max_perplexity"));
  EXPECT_THAT(missed({.max_perplexity = 9}, report_of(1, 1, kInfinity)),
              testing::ElementsAre("max_perplexity"));
}

TEST(Bounds, ThatAreMissedAreAllNamed) {
  EXPECT_EQ(
      message_of({.min_exact = 80, .max_perplexity = 1.2, .max_kl_of = {{TokenClass::text, 0.05}}},
                 report_of(100, 71, 1.25)),
      "exact match is 71.0 %, --min-exact asks for 80; perplexity is 1.2500, --max-perplexity allows 1.2; "
      "KL of text tokens is 0.1230 nats, --max-kl allows 0.05");
  EXPECT_EQ(message_of({.max_perplexity = 2}, report_of(1, 1, kNan)),
            "perplexity is not a number, --max-perplexity allows 2");
}

TEST(Bounds, ThatAreMissedByLittleShowByHowMuch) {
  EXPECT_EQ(message_of({.min_exact = 80}, report_of(10000, 7999, 1)),
            "exact match is 79.99 %, --min-exact asks for 80");
  EXPECT_EQ(message_of({.max_perplexity = 1.5}, report_of(1, 1, 1.50000001)),
            "perplexity is 1.50000001, --max-perplexity allows 1.5");
}

TEST(Bounds, OutOfRangeAreUsageErrors) {
  EvalOptions options;
  options.reference = "reference";
  const auto refusal = [&](const EvalBounds& bounds) {
    options.bounds = bounds;
    const Error error = failure([&] { check_bounds(options); });
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    return std::string(error.what());
  };
  for (const double share : {-0.1, 100.1, kNan, kInfinity})
    EXPECT_THAT(refusal({.min_exact = share}), testing::HasSubstr("expected a percentage from 0 to 100"));
  for (const double limit : {0.0, -1.0, kNan, kInfinity}) {
    EXPECT_THAT(refusal({.max_perplexity = limit}), testing::StartsWith("--max-perplexity "));
    EXPECT_THAT(refusal({.max_kl = limit}), testing::HasSubstr("expected a finite number above 0"));
    EXPECT_THAT(refusal({.max_kl_of = {{TokenClass::visual, limit}}}),
                testing::StartsWith("--max-kl visual="));
  }
  options.reference.reset();
  EXPECT_THAT(refusal({.max_kl = 1}), testing::HasSubstr("needs --reference"));
  options.bounds = {.min_exact = 100, .max_perplexity = 1};
  check_bounds(options);
}

TEST(Bounds, ThatSamplesCannotTellAreObstacles) {
  const auto refusal = [](const EvalBounds& bounds, std::int64_t answers) {
    Obstacles obstacles;
    check_measurable(bounds, answers, {{"text", 3}}, obstacles);
    const Error error = failure([&] { obstacles.raise(); });
    return error.kind() == ErrorKind::input ? std::string(error.what()) : std::string();
  };
  EXPECT_EQ(refusal({.min_exact = 1}, 0), "--min-exact: expected samples with answers, found none");
  EXPECT_EQ(refusal({.max_perplexity = 1}, 0), "--max-perplexity: expected samples with answers, found none");
  EXPECT_THAT(refusal({.max_kl_of = {{TokenClass::visual, 0.5}}}, 0),
              testing::StartsWith("--max-kl visual=0.5: the samples have no visual tokens"));
  EXPECT_EQ(refusal({.max_kl = 1}, 0), "");
  EXPECT_EQ(refusal({.min_exact = 1, .max_perplexity = 1}, 2), "");
}

}  // namespace
}  // namespace mquant::test
