// What random weights do not have: massive activations of the first token, and norm scales of a wide range.  Every family
// keeps its answers in static W4A8 all the same, and does not without the means for it.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "mquant/compile.h"
#include "tests/families/goldens.h"
#include "tests/support/outlier_model.h"
#include "tests/support/temp_dir.h"

namespace mquant::test {
namespace {

/// KL against float in nats, mean over the tokens of a class.
constexpr double kBound = 0.1;

struct Case {
  std::string family;
  Outliers outliers;
};
std::string name_of(const Case& c) {
  return c.family + (c.outliers.massive_first_token ? "_massive" : "") + (c.outliers.wide_norms ? "_wide" : "");
}
void PrintTo(const Case& c, std::ostream* out) { *out << name_of(c); }

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const std::string& family : golden_families())
    for (const Outliers outliers : {Outliers{true, false}, Outliers{false, true}, Outliers{true, true}})
      cases.push_back({family, outliers});
  return cases;
}

class OutlierModel : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    write_outlier_model(golden_path(GetParam().family), model(), GetParam().outliers);
  }
  std::filesystem::path model() const { return directory_.path() / "golden" / "model"; }
  std::filesystem::path cases() const { return golden_path(GetParam().family) / "cases.jsonl"; }

  struct Result {
    nlohmann::json report;
    double kl = 0;  // the worse of text and visual tokens
  };
  Result quantized(const std::string& name, const std::vector<std::string>& overrides) const {
    CalibrateOptions options{.model = model(), .data = cases(), .output = directory_ / name, .overrides = overrides};
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

  TempDir directory_;
};

TEST_P(OutlierModel, AnswersLikeItsModel) {
  const Result result = quantized("calibration", {});
  EXPECT_LT(result.kl, kBound);
  if (GetParam().outliers.massive_first_token) EXPECT_TRUE(result.report["sinks"]["first_token"].get<bool>());
  EXPECT_LT(result.report["self_check"]["agreement"]["text"]["kl"].get<double>(), kSelfCheckBound);
  std::printf("  %-24s KL %.4f\n", name_of(GetParam()).c_str(), result.kl);
}

INSTANTIATE_TEST_SUITE_P(AllFamilies, OutlierModel, testing::ValuesIn(all_cases()),
                         [](const auto& info) { return name_of(info.param); });

}  // namespace
}  // namespace mquant::test
