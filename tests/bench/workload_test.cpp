// The prompt of a benchmark.
#include "bench/workload.h"

#include <gtest/gtest.h>

#include "eval/loaded_model.h"
#include "tests/pipeline/runs.h"

namespace mquant::test {
namespace {

class Prompt : public testing::Test {
 protected:
  Features make(const std::vector<PictureSize>& pictures, std::int64_t text) const {
    return make_prompt(pictures, text, [&](const Sample& sample) {
      return model_.features({sample}, WithAnswer::no).front();
    });
  }
  LoadedModel model_ = LoadedModel::open(qwen2_vl().model);
};

TEST_F(Prompt, HasThePicturesAndAboutAsManyTextTokens) {
  const Features features = make({{112, 56}, {56, 56}}, 120);
  ASSERT_EQ(features.grids.size(), 2U);
  EXPECT_EQ(features.grids[0].h * 2, features.grids[0].w);
  EXPECT_EQ(count_tokens(features, TokenClass::visual), 8 + 4);
  EXPECT_NEAR(static_cast<double>(count_tokens(features, TokenClass::text)), 120, 5)
      << "a word may be several";
}

TEST_F(Prompt, IsTheSameAtEveryCall) {
  const Features a = make({{84, 84}}, 60), b = make({{84, 84}}, 60);
  EXPECT_EQ(a.input_ids, b.input_ids);
  EXPECT_EQ(a.pixels, b.pixels);
  EXPECT_FALSE(a.pixels.empty());
}

TEST_F(Prompt, NeedsNoPicture) {
  const Features features = make({}, 64);
  EXPECT_TRUE(features.grids.empty());
  EXPECT_NEAR(static_cast<double>(features.input_ids.size()), 64, 5);
}

TEST_F(Prompt, IsRepeatedAsRowsOfOthersPictures) {
  const Features one = make({{56, 56}}, 40), all = merged(one, 3);
  EXPECT_EQ(all.input_ids.size(), 3 * one.input_ids.size());
  EXPECT_EQ(all.pixels.size(), 3 * one.pixels.size());
  EXPECT_EQ(all.patches.size(), 3 * one.patches.size());
  EXPECT_EQ(all.grids.size(), 3U);
  EXPECT_EQ(all.prompt_length, static_cast<std::int64_t>(one.input_ids.size()));
  std::vector<std::int64_t> pictures = all.picture;
  std::ranges::sort(pictures);
  pictures.erase(std::unique(pictures.begin(), pictures.end()), pictures.end());
  EXPECT_EQ(pictures, (std::vector<std::int64_t>{-1, 0, 1, 2}));
}

}  // namespace
}  // namespace mquant::test
