// What was calibrated is what was exported: both give the same logits, bit for bit.
#include <gtest/gtest.h>

#include "eval/loaded_model.h"
#include "tests/pipeline/runs.h"
#include "tests/support/temp_dir.h"

namespace mquant::test {
namespace {

struct Export {
  std::string recipe, format;
};
void PrintTo(const Export& e, std::ostream* out) { *out << e.recipe << " as " << e.format; }

class ArtifactLogits : public testing::TestWithParam<Export> {};

TEST_P(ArtifactLogits, AreThoseOfTheCalibration) {
  const TempDir directory;
  calibrate_into(directory / "calibration", qwen2_vl(), {.recipe = GetParam().recipe});
  const ExportReport report = export_into(directory / "artifact", directory / "calibration");
  EXPECT_EQ(report.format, GetParam().format);
  const LoadedModel calibration = LoadedModel::open(directory / "calibration");
  const LoadedModel artifact = LoadedModel::open(directory / "artifact");
  ASSERT_TRUE(artifact.is_quantized());
  EXPECT_EQ(artifact.order_tokens, calibration.order_tokens);
  EXPECT_EQ(artifact.calibration_digests(), calibration.calibration_digests());
  const std::vector<Sample> samples = read_samples(qwen2_vl().samples);
  const std::vector<Features> features = calibration.features(samples, WithAnswer::no);
  ASSERT_EQ(features.size(), 6U);
  for (std::size_t i = 0; i < features.size(); ++i) {
    std::vector<KvCache> none;
    const at::Tensor expected = calibration.logits(features[i], none, 0, LogitRows::all);
    EXPECT_TRUE(artifact.logits(features[i], none, 0, LogitRows::all).equal(expected)) << samples[i].id;
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, ArtifactLogits,
                         testing::Values(Export{"w4a8", "mquant"}, Export{"w8a8", "mquant"},
                                         Export{"w4a8-offline", "compressed-tensors"}));

}  // namespace
}  // namespace mquant::test
