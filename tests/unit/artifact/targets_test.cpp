#include "artifact/targets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mquant {
namespace {

using testing::ElementsAre;

ModelSpec qwen_like() {
  ModelSpec model;
  model.renames = {{"model.", "model.language_model."}, {"visual.", "model.visual."}};
  return model;
}

TEST(Targets, NumbersCollapseWhereAllLayersAreMeant) {
  EXPECT_THAT(
      target_patterns({"visual.blocks.0.mlp.fc1", "visual.blocks.1.mlp.fc1"}, {"lm_head"}, qwen_like()),
      ElementsAre(R"(re:(?:.*\.)?visual\.blocks\.\d+\.mlp\.fc1$)"));
}

TEST(Targets, NumbersStayWhereOnlySomeLayersAreMeant) {
  EXPECT_THAT(target_patterns({"visual.blocks.1.mlp.fc1"}, {"visual.blocks.0.mlp.fc1"}, qwen_like()),
              ElementsAre(R"(re:(?:.*\.)?visual\.blocks\.1\.mlp\.fc1$)"));
}

TEST(Targets, BothReleasesOfNamesAreMatched) {
  const char* const pattern =
      R"(re:(?:.*\.)?(?:model\.layers\.\d+\.q_proj|model\.language_model\.layers\.\d+\.q_proj)$)";
  EXPECT_THAT(target_patterns({"model.layers.0.q_proj"}, {}, qwen_like()), ElementsAre(pattern));
  EXPECT_THAT(target_patterns({"model.language_model.layers.0.q_proj"}, {}, qwen_like()),
              ElementsAre(pattern));
}

TEST(Targets, AnotherTowerWithTheSameEndingIsNotMatched) {
  const auto patterns = target_patterns({"layers.0.q_proj"}, {"vision_model.layers.0.q_proj"}, ModelSpec{});
  EXPECT_THAT(patterns, ElementsAre(R"(re:layers\.\d+\.q_proj$)"));
}

}  // namespace
}  // namespace mquant
