#include "support/strings.h"

#include <gtest/gtest.h>

#include <chrono>
#include <limits>

namespace mquant {
namespace {

const std::vector<std::string> kNames = {"model.layers.0.mlp.up_proj", "model.layers.0.mlp.down_proj",
                                         "lm_head"};

TEST(Nearest, FindsTheTypingMistake) {
  EXPECT_EQ(nearest("model.layers.0.mlp.down_pro", kNames), "model.layers.0.mlp.down_proj");
  EXPECT_EQ(nearest("lm_haed", kNames), "lm_head");
}

TEST(Nearest, SaysNothingWhenNothingIsNear) {
  EXPECT_EQ(nearest("visual.merger", kNames), "");
  EXPECT_EQ(nearest("", kNames), "");
  EXPECT_EQ(nearest("lm_head", {}), "");
}

TEST(Nearest, TheFirstOfEqualsWins) {
  const std::vector<std::string> candidates = {"abcx", "abcy"};
  EXPECT_EQ(nearest("abcz", candidates), "abcx");
}

TEST(DidYouMean, IsAClauseOrNothing) {
  EXPECT_EQ(did_you_mean("lm_haed", kNames), "; did you mean 'lm_head'?");
  EXPECT_EQ(did_you_mean("zzz", kNames), "");
}

TEST(HumanBytes, RoundsWithinAUnitAndNeverPrints1024) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(1023), "1023 B");
  EXPECT_EQ(human_bytes(1536), "1.5 KiB");
  EXPECT_EQ(human_bytes((1 << 20) - 1), "1.0 MiB");
  EXPECT_EQ(human_bytes(std::uint64_t{16} << 30), "16.0 GiB");
  EXPECT_EQ(human_bytes(std::numeric_limits<std::uint64_t>::max()), "16.0 EiB");
}

TEST(HumanDuration, ChangesUnitWithoutGaps) {
  using std::chrono::duration;
  EXPECT_EQ(human_duration(duration<double>(-1)), "0 ms");
  EXPECT_EQ(human_duration(duration<double>(0.85)), "850 ms");
  EXPECT_EQ(human_duration(duration<double>(0.9999)), "1.0 s");
  EXPECT_EQ(human_duration(duration<double>(59.99)), "1 min 00 s");
  EXPECT_EQ(human_duration(duration<double>(245)), "4 min 05 s");
  EXPECT_EQ(human_duration(duration<double>(3599.9)), "1 h 00 min");
  EXPECT_EQ(human_duration(duration<double>(7620)), "2 h 07 min");
}

TEST(ShapeText, IsAList) {
  EXPECT_EQ(shape_text(std::vector<std::int64_t>{1536, 8960}), "[1536, 8960]");
  EXPECT_EQ(shape_text({}), "[]");
}

TEST(SplitJoin, UndoEachOther) {
  for (const char* text : {"", "a", "a,b,,c", ",", "a,"}) EXPECT_EQ(join(split(text, ','), ","), text);
  EXPECT_EQ(split("a,b,,c", ','), (std::vector<std::string>{"a", "b", "", "c"}));
}

}  // namespace
}  // namespace mquant
