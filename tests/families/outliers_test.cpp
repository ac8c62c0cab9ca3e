// What random weights do not have: massive activations of the first token, and norm scales of a wide range.  Every family
// keeps its answers in static W4A8 all the same, and does not without the means for it.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "mquant/compile.h"
#include "pipeline/self_check.h"
#include "tests/families/goldens.h"
#include "tests/support/outlier_model.h"
#include "tests/support/temp_dir.h"

namespace mquant::test {
namespace {

/// KL against float in nats, mean over the tokens of a class.
constexpr double kBound = 0.15;

struct Case {
  std::string family;
  Outliers outliers;
};
std::string name_of(const Case& c) {
  return c.family + (c.outliers.massive_first_token ? "_massive" : "") +
         (c.outliers.wide_norms ? "_wide" : "");
}
void PrintTo(const Case& c, std::ostream* out) { *out << name_of(c); }

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const std::string& family : golden_families())
    for (const Outliers outliers : {Outliers{.massive_first_token = true}, Outliers{.wide_norms = true},
                                    Outliers{.massive_first_token = true, .wide_norms = true}})
      cases.push_back({family, outliers});
  return cases;
}

struct Result {
  nlohmann::json report;
  double kl = 0;  // the worse of text and visual tokens
};

/// A golden's model with outliers.
class Subject {
 public:
  explicit Subject(const Case& c) : family_(c.family) {
    write_outlier_model(golden_path(c.family), model(), c.outliers);
  }

  Result quantized(const std::string& name, const std::vector<std::string>& overrides) const {
    CalibrateOptions options{
        .model = model(), .data = cases(), .output = directory_ / name, .overrides = overrides};
    options.run.threads = 1;
    Result result;
    result.report = nlohmann::json::parse(calibrate(options));
    EvalOptions eval{.model = directory_ / name, .data = cases(), .reference = model(), .max_new_tokens = 1};
    eval.run.threads = 1;
    const EvalReport report = evaluate(eval);
    for (const char* token_class : {"text", "visual"})
      if (const auto row = report.agreement.find(token_class); row != report.agreement.end())
        result.kl = std::max(result.kl, row->second.kl);
    return result;
  }

 private:
  std::filesystem::path model() const { return directory_.path() / "golden" / "model"; }
  std::filesystem::path cases() const { return golden_path(family_) / "cases.jsonl"; }

  std::string family_;
  TempDir directory_;
};

class OutlierModel : public testing::TestWithParam<Case> {};

TEST_P(OutlierModel, AnswersLikeItsModel) {
  const Result result = Subject(GetParam()).quantized("calibration", {});
  EXPECT_LT(result.kl, kBound);
  EXPECT_TRUE(result.report["sinks"]["first_token"].get<bool>() || !GetParam().outliers.massive_first_token);
  EXPECT_LT(result.report["self_check"]["agreement"]["text"]["kl"].get<double>(), kSelfCheckBound);
  std::printf("  %-24s KL %.4f\n", name_of(GetParam()).c_str(), result.kl);
}

/// What the tests of all families are able to see: with the means for it taken away, outliers cost answers.
class OutlierModelWithoutTheMeans : public testing::TestWithParam<Case> {};

TEST_P(OutlierModelWithoutTheMeans, LosesAnswers) {
  const Subject subject(GetParam());
  const double with = subject.quantized("with", {}).kl;
  const double without = subject
                             .quantized("without", {"calibration.sink=false", "fold-norms.where=everywhere",
                                                    "rotate-online.streams=false"})
                             .kl;
  EXPECT_GT(without, 2 * with);
}

INSTANTIATE_TEST_SUITE_P(Some, OutlierModelWithoutTheMeans,
                         testing::Values(Case{"internvl2", {.massive_first_token = true}},
                                         Case{"minicpm_v", {.massive_first_token = true}},
                                         Case{"gemma3", {.wide_norms = true}},
                                         Case{"gemma3_window", {.wide_norms = true}}),
                         [](const auto& test) { return name_of(test.param); });
INSTANTIATE_TEST_SUITE_P(AllFamilies, OutlierModel, testing::ValuesIn(all_cases()),
                         [](const auto& test) { return name_of(test.param); });

}  // namespace
}  // namespace mquant::test
