// The integer model is the fake-quantized float model: dequantized weights on inputs rounded to their codes.
#include <gtest/gtest.h>

#include <algorithm>

#include "eval/loaded_model.h"
#include "mquant/artifact.h"
#include "nn/stored.h"
#include "tests/pipeline/runs.h"
#include "tests/support/fake_quant.h"
#include "tests/support/temp_dir.h"

namespace mquant::test {
namespace {

constexpr double kLinearBound = 1e-5;  // of the largest magnitude, one linear on the same input
constexpr double kLogitsBound = 1e-3;  // of the largest magnitude, a whole run

class IntegerSemantics : public testing::TestWithParam<std::string> {};

TEST_P(IntegerSemantics, EqualFakeQuantizedFloats) {
  const TempDir directory;
  calibrate_into(directory / "calibration", digits(),
                 {.overrides = {"calibration.samples=5", "suppress.columns=" + GetParam(),
                                "suppress.weight_ratio=1.5"}});
  export_into(directory / "artifact", directory / "calibration");
  const LoadedModel model = LoadedModel::open(directory / "artifact", Executor::plain);
  const Artifact artifact = Artifact::open(directory / "artifact", model.spec());
  std::vector<Block> blocks;
  for (const BlockSpec& spec : model.spec().blocks)
    blocks.push_back(from_stored(artifact.read(spec.name), spec));
  const std::vector<Features> all = model.features(read_samples(digits().samples, 5), WithAnswer::yes);
  for (const Features& features : all) {
    std::vector<KvCache> none;
    const at::Tensor logits = model.logits(features, none, 0, LogitRows::all);
    for (const Follow follow : {Follow::model, Follow::reference}) {
      ReferenceRun run(features, follow);
      for (const Block& block : blocks) run.run(block);
      EXPECT_GE(run.linears, 6 * 7);
      EXPECT_LT(run.largest_difference, kLinearBound);
      EXPECT_GT(run.split, 0) << "no linear with split columns; nothing was shown about them";
      if (follow == Follow::model)
        EXPECT_TRUE(run.logits().equal(logits)) << "the model runs something else than its linears";
      else
        EXPECT_LT(relative_to_largest(logits, run.logits()), kLogitsBound);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(SplitColumns, IntegerSemantics, testing::Values("int8", "float"));

}  // namespace
}  // namespace mquant::test
